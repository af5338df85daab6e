// Some of a vector's elements, by bits: between their places in it and a list of them alone.
#pragma once

#include <cstdint>

namespace switchyard::cpu {

/// to[j] = from[i], of the elements i < count whose bit first_bit + i of `words` is set (lowest first) the j-th. Returns
/// how many these are; `to` has room for them.
int64_t gather_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to);
/// And back: to[i] = from[j]; other elements stay.
int64_t scatter_members(const uint64_t* words, int64_t first_bit, const float* from, int64_t count, float* to);

}  // namespace switchyard::cpu
