#include "kernels/rows/copy_columns.h"

#include <algorithm>

#include "kernels/cpu/vector_math.h"
#include "kernels/row_blocks.h"

namespace switchyard {

int64_t rows_that_share(ConstView x, int64_t first, int64_t count, ConstView y, int64_t to) {
  const auto within = [&](int64_t begin, ConstView view) {
    return begin >= 0 && count >= 0 && begin + count <= view.row_elements();
  };
  const int64_t n = x.rows(), m = y.rows();
  SWITCHYARD_CHECK(within(first, x) && within(to, y) && (n > 0 ? m % n == 0 : m == 0),
                   "copy_columns: {} from {} on of x {} to {} of y {}", count, first, x.shape.str(), to, y.shape.str());
  return n > 0 ? m / n : 1;
}

void cpu::copy_columns(const Stream& stream, ConstView x, int64_t first, int64_t count, View y, int64_t to) {
  const int64_t sharing = rows_that_share(x, first, count, y, to), x_dim = x.row_elements(), y_dim = y.row_elements();
  const auto* in = x.as<float>();
  auto* out = y.as<float>();
  for_row_blocks(stream, y.rows(), [&](int64_t first_row, int64_t num_rows) {
    for (int64_t r = first_row; r < first_row + num_rows; ++r)
      std::copy_n(in + r / sharing * x_dim + first, count, out + r * y_dim + to);
  });
}

void cpu::copy_columns_backward(const Stream& stream, ConstView dy, int64_t to, int64_t count, View dx, int64_t first) {
  const int64_t sharing = rows_that_share(dx, first, count, dy, to), x_dim = dx.row_elements(),
                y_dim = dy.row_elements();
  const auto* in = dy.as<float>();
  auto* out = dx.as<float>();
  for_row_blocks(stream, dx.rows(), [&](int64_t first_row, int64_t num_rows) {
    for (int64_t r = first_row; r < first_row + num_rows; ++r) {
      float* sum = out + r * x_dim + first;
      std::copy_n(in + r * sharing * y_dim + to, count, sum);
      for (int64_t j = r * sharing + 1; j < (r + 1) * sharing; ++j) add_to(sum, in + j * y_dim + to, count);
    }
  });
}

}  // namespace switchyard
