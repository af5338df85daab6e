"""Intervals of 95 %, of a bootstrap over blocks of consecutive items of a series, whose last item is followed by its
first (Politis and Romano 1992), 2,000 times."""

import numpy as np

RESAMPLES = 2000


def resamples(count, block, rng):
    """[RESAMPLES, count]: places in a series."""
    starts = rng.integers(0, count, size=(RESAMPLES, -(-count // block)))
    return (starts[:, :, None] + np.arange(block)).reshape(RESAMPLES, -1)[:, :count] % count


def interval(samples):
    """Lower and upper end; samples: [RESAMPLES, …]."""
    return np.percentile(samples, [2.5, 97.5], axis=0)
