#include "model/linear.h"

#include "kernels/rows/add_bias.h"

namespace switchyard {

void linear(const Stream& stream, ConstView x, const Linear& w, GemmOutput output, View y) {
  gemm(stream, x, w.weight, output, y);
  if (w.bias.view().rows() > 0) add_bias(stream, w.bias.view(), y);
}

}  // namespace switchyard
