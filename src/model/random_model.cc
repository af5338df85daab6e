#include "model/random_model.h"

#include <algorithm>
#include <memory>

#include "base/device.h"
#include "base/hash.h"
#include "base/rng.h"
#include "kernels/rows/random_fill.h"

namespace switchyard {
namespace {

constexpr float kMatrixScale = 0.035f, kNormScale = 0.1f;

uint64_t seed_of(const std::string& name) {
  return hash_of(std::as_bytes(std::span(name))).low;
}

/// Makes one tensor after the other, in one scratch tensor.
class Maker {
 public:
  /// On the stream's device; on the CPU by the calling thread alone.
  Maker(const Stream& stream, DType operand)
      : alone_(std::make_unique<ThreadPool>(1)), stream_(stream), operand_(operand) {
    stream_.pool = alone_.get();
    stream_.poll = {};
  }

  void make(const StoredTensor& tensor) {
    const Shape shape = tensor.shape();
    const DType dtype = tensor.dtype(operand_);
    if (tensor.packed) {
      const View values = scratch(shape);
      fill(tensor, values);
      *tensor.matrix = PackedMatrix::pack(stream_, values, dtype, tensor.order);
    } else {
      *tensor.tensor = OwnedTensor(shape, dtype, stream_.device);
      fill(tensor, tensor.tensor->view());
    }
  }

 private:
  void fill(const StoredTensor& tensor, View values) const {
    int64_t row = 0;
    for (const Parameter& p : tensor.parameters()) {
      const View part = values.slice(row, p.shape[0]);
      if (p.around_one)
        random_fill(stream_, seed_of(p.name()), 0, kNormScale, 1, part);
      else
        random_fill(stream_, seed_of(p.name()), 0, kMatrixScale, 0, part);
      row += p.shape[0];
    }
  }

  /// f32, valid until the next is asked for.
  View scratch(const Shape& shape) {
    if (scratch_.view().elements() < shape.elements()) {
      synchronize(stream_);  // the last one may still be read
      scratch_ = OwnedTensor();
      scratch_ = OwnedTensor({shape.elements()}, DType::f32, stream_.device);
    }
    return scratch_.view().slice(0, shape.elements()).reshaped(shape);
  }

  std::unique_ptr<ThreadPool> alone_;
  Stream stream_;
  DType operand_;
  OwnedTensor scratch_;
};

}  // namespace

LoadedModel random_model(const Stream& stream, const ModelConfig& config, DType operand,
                         const ExpertPlacement& placement, int rank) {
  LoadedModel model;
  model.weights = empty_weights(config, operand, placement.count(rank));
  std::vector<StoredTensor> tensors;
  for_each_tensor(config, placement.experts_of(rank), &model.weights,
                  [&](const StoredTensor& tensor) { tensors.push_back(tensor); });
  if (stream.device == Device::cuda) {
    use_device(stream.device_index);
    Maker maker(stream, operand);
    for (const StoredTensor& tensor : tensors) maker.make(tensor);
    synchronize(stream);  // before its scratch goes
    return model;
  }
  std::vector<Maker> makers;
  for (int i = 0; i < stream.pool->num_threads(); ++i) makers.emplace_back(stream, operand);
  stream.parallel_for(static_cast<int64_t>(tensors.size()), [&](int64_t task, int worker) {
    makers[static_cast<size_t>(worker)].make(tensors[static_cast<size_t>(task)]);
  });
  return model;
}

void random_parameters(const InitialWeights& initial, const ParameterRows& rows, std::span<float> out) {
  const Parameter& p = rows.parameter;
  SWITCHYARD_CHECK(out.size() == rows.elements(), "{} values for {} of {}", out.size(), rows.elements(), p.name());
  if (const bool is_bias = p.kind.ends_with("bias"); p.around_one || is_bias) {
    std::ranges::fill(out, is_bias ? 0.0f : 1.0f);
    return;
  }
  const uint64_t seed = random_bits(initial.seed, seed_of(p.name()));
  const auto range = static_cast<float>(initial.range);
  auto index = static_cast<uint64_t>(rows.first * p.row_elements());
  for (float& x : out) x = range * random_normal(seed, index++);
}

}  // namespace switchyard
