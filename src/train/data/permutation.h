// An order of many things that takes no memory: where the i-th of them is, computed when it is asked for.
#pragma once

#include <cstdint>

namespace switchyard {

/// A permutation of [0, size), one of many by its key: a Feistel network over the least even number of bits that has
/// room for them, applied again while what comes out is beyond them (Black and Rogaway, Ciphers with Arbitrary Finite
/// Domains, 2002: cycle walking). Eight rounds; less than four walks on average, but for the smallest sizes.
class Permutation {
 public:
  Permutation(int64_t size, uint64_t key);

  int64_t operator()(int64_t i) const;  ///< of i in [0, size)

 private:
  uint64_t shuffle(uint64_t value) const;

  int64_t size_;
  uint64_t key_;
  int half_bits_;
};

}  // namespace switchyard
