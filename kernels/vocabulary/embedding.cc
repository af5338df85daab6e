#include "kernels/vocabulary/embedding.h"

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard::cpu {

void embedding(const Stream& stream, ConstView ids, ConstView table, View y) {
  const int64_t tokens = ids.rows(), vocab = table.rows(), dim = table.row_elements();
  SWITCHYARD_CHECK(y.rows() == tokens && y.row_elements() == dim, "embedding: table {}, {} ids, y {}",
                   table.shape.str(), tokens, y.shape.str());
  const auto* id = ids.as<int32_t>();
  auto* out = y.as<float>();
  with_float_type(table.dtype, "embedding", [&](auto element) {
    const auto* rows = table.as<decltype(element)>();
    for_row_blocks(stream, tokens, [&](int64_t first, int64_t count) {
      for (int64_t t = first; t < first + count; ++t) {
        SWITCHYARD_CHECK(id[t] >= 0 && id[t] < vocab, "embedding: token {} has id {} of {}", t, id[t], vocab);
        const auto* row = rows + id[t] * dim;
        for_lanes(dim, [&](int64_t i, auto read, auto write) { write(out + t * dim + i, read(row + i)); });
      }
    });
  });
}

}  // namespace switchyard::cpu
