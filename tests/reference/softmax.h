#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

namespace switchyard::reference {

inline double log_sum_exp(const std::vector<double>& x) {
  const double top = *std::max_element(x.begin(), x.end());
  double sum = 0;
  for (const double v : x) sum += std::exp(v - top);
  return top + std::log(sum);
}

inline std::vector<double> softmax(const std::vector<double>& x) {
  const double log_sum = log_sum_exp(x);
  std::vector<double> p;
  for (const double v : x) p.push_back(std::exp(v - log_sum));
  return p;
}

}  // namespace switchyard::reference
