"""The series: daily Parkinson volatility of the S&P 500, annualised, in logarithms; HAR and the random walk."""

import csv
import math
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
WEEK, MONTH = 5, 22  # trading days


def load(path=HERE / "sp500.csv"):
    """Dates, and log σ with σ² = ln(H/L)² / (4 ln 2) · 252 (Parkinson 1980)."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    ranges = np.array([math.log(float(row["High"]) / float(row["Low"])) for row in rows])
    return [row["Date"] for row in rows], np.log(np.sqrt(ranges**2 / (4 * math.log(2)) * 252))


def har_inputs(y, day):
    """What HAR predicts a day from: a constant, yesterday, the means of a week and of a month (Corsi 2009)."""
    return np.array([1, y[day - 1], y[day - WEEK : day].mean(), y[day - MONTH : day].mean()])


def har_fit(y, days):
    """Least squares over these days."""
    inputs = np.array([har_inputs(y, day) for day in days])
    return np.linalg.lstsq(inputs, y[days], rcond=None)[0]


def har_forecast(y, days, weights):
    return np.array([har_inputs(y, day) @ weights for day in days])


def errors(forecast, actual):
    """Absolute errors of each day: in logarithms, and in volatility points (percent a year)."""
    return np.abs(forecast - actual), 100 * np.abs(np.exp(forecast) - np.exp(actual))
