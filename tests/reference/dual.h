// Numbers that carry their slopes along N directions with them: forward differentiation, exact but for rounding.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>

namespace switchyard::reference {

template <size_t N>
struct Dual {
  double value = 0;
  std::array<double, N> slope = {};

  Dual() = default;
  Dual(double constant) : value(constant) {}

  /// f(a), where f'(a) is `derivative`.
  static Dual of(double f, double derivative, const Dual& a) {
    Dual result(f);
    for (size_t i = 0; i < N; ++i) result.slope[i] = derivative * a.slope[i];
    return result;
  }
  Dual& operator+=(const Dual& b) {
    value += b.value;
    for (size_t i = 0; i < N; ++i) slope[i] += b.slope[i];
    return *this;
  }
  friend Dual operator+(Dual a, const Dual& b) { return a += b; }
  friend Dual operator-(const Dual& a) { return of(-a.value, -1, a); }
  friend Dual operator-(const Dual& a, const Dual& b) { return a + -b; }
  friend Dual operator*(const Dual& a, const Dual& b) {
    Dual result(a.value * b.value);
    for (size_t i = 0; i < N; ++i) result.slope[i] = a.value * b.slope[i] + a.slope[i] * b.value;
    return result;
  }
  friend Dual operator/(const Dual& a, const Dual& b) { return a * of(1 / b.value, -1 / (b.value * b.value), b); }
  friend Dual exp(const Dual& a) { return of(std::exp(a.value), std::exp(a.value), a); }
  friend Dual log(const Dual& a) { return of(std::log(a.value), 1 / a.value, a); }
  friend Dual sqrt(const Dual& a) { return of(std::sqrt(a.value), 0.5 / std::sqrt(a.value), a); }
};

inline double value_of(double x) {
  return x;
}
template <size_t N>
double value_of(const Dual<N>& x) {
  return x.value;
}

}  // namespace switchyard::reference
