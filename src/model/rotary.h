// The angles of rotary position embeddings.
#pragma once

#include <cstdint>
#include <vector>

namespace switchyard {

/// What a position is multiplied by to turn the i-th pair of `dim` rotated dimensions: theta^(−2i/dim), i < dim/2.
/// (Su et al. 2021)
std::vector<double> rotary_frequencies(double theta, int64_t dim);

}  // namespace switchyard
