// What every row-wise kernel needs: a parallel loop over blocks of rows, and the choice between f32 and bf16.
#pragma once

#include <algorithm>
#include <string_view>

#include "base/stream.h"

namespace switchyard {

/// body(first, count) for consecutive blocks of at most rows_per_task rows, in parallel.
template <class Body>
void for_row_blocks(const Stream& stream, int64_t rows, const Body& body, int64_t rows_per_task = 64) {
  stream.parallel_for((rows + rows_per_task - 1) / rows_per_task, [&](int64_t task, int) {
    const int64_t first = task * rows_per_task;
    body(first, std::min(rows_per_task, rows - first));
  });
}

/// body(float{}) or body(BFloat16{}).
template <class Body>
void with_float_type(DType dtype, std::string_view op, const Body& body) {
  switch (dtype) {
    case DType::f32:
      return body(float{});
    case DType::bf16:
      return body(BFloat16{});
    default:
      fail(ExitCode::internal, "{}: expected f32 or bf16, got {}", op, name_of(dtype));
  }
}

}  // namespace switchyard
