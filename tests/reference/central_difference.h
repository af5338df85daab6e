// Derivatives without formulas, for oracles of gradients.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard::reference {

/// f's derivative by x, which f refers to: to about 1e-9 of f's and its third derivative's size.
template <class F>
double central_difference(const F& f, double& x) {
  constexpr double kStep = 1e-5;
  const double at = x;
  x = at + kStep;
  const double above = f();
  x = at - kStep;
  const double below = f();
  x = at;
  return (above - below) / (2 * kStep);
}

/// Numbers that an oracle takes for a tensor, and that can be changed a little.
struct Values {
  std::vector<double> values;
  double at(int64_t i) const { return values[static_cast<size_t>(i)]; }
};

template <class Tensor>
Values values_of(const Tensor& tensor) {
  Values result;
  for (int64_t i = 0; i < tensor.size(); ++i) result.values.push_back(tensor.at(i));
  return result;
}

}  // namespace switchyard::reference
