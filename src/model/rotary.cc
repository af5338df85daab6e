#include "model/rotary.h"

#include <cmath>

namespace switchyard {

std::vector<double> rotary_frequencies(double theta, int64_t dim) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < dim / 2; ++i)
    frequencies.push_back(std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(dim)));
  return frequencies;
}

}  // namespace switchyard
