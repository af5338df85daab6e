#include "model/checkpoint/parameter_reader.h"

#include <algorithm>
#include <mutex>

#include "base/device.h"
#include "model/checkpoint/tensor_layout.h"

namespace switchyard {
namespace {

/// Rows [first, …) of a part stored [in, out], or of a vector, to their columns in out, [out, in].
void put_columns(std::span<const float> in, int64_t first, const TensorPart& part, std::span<float> out) {
  const int64_t rows = part.weights.rows, columns = part.weights.columns;
  const auto before = static_cast<size_t>(first * columns);
  for_each_turned(rows, columns, part.interleaved, first, first + std::ssize(in) / columns,
                  [&](size_t stored, size_t at) { out[at] = in[stored - before]; });
}

/// Of one worker: a tensor's values, and those of some rows that go to other places in it.
struct Scratch {
  PartReader reader;
  std::vector<float> values = {}, rows = {};
};

class ParameterReader {
 public:
  ParameterReader(const Stream& stream, const TensorTable& table, DType operand, ReadValues values,
                  const VisitValues& visit)
      : stream_(stream), table_(table), operand_(operand), values_(values), visit_(visit) {}

  PartsRead read(std::span<const int> experts, ModelWeights* weights) {
    const uint64_t before = table_.checkpoint().bytes_read();
    std::vector<StoredTensor> in_layers;
    {
      // Of the largest matrices: one after the other, so that it exists once.
      Scratch scratch{PartReader(table_.checkpoint(), values_)};
      for_each_tensor(table_.config(), experts, weights, [&](const StoredTensor& tensor) {
        if (tensor.in_layer())
          in_layers.push_back(tensor);
        else
          read(tensor, scratch);
      });
    }
    std::vector<Scratch> scratch(static_cast<size_t>(stream_.pool->num_threads()),
                                 {PartReader(table_.checkpoint(), values_)});
    stream_.parallel_for(static_cast<int64_t>(in_layers.size()), [&](int64_t task, int worker) {
      read(in_layers[static_cast<size_t>(task)], scratch[static_cast<size_t>(worker)]);
    });
    synchronize(stream_);  // before the scratch goes
    parts_.bytes = table_.checkpoint().bytes_read() - before;
    return std::move(parts_);
  }

 private:
  /// All parts as f32, [out, in], one below the other.
  void read(const StoredTensor& tensor, Scratch& s) {
    const Shape shape = tensor.shape();
    if (!tensor.tied) {  // else its values are still there
      const std::span<float> all = first_of(s.values, static_cast<size_t>(shape.elements()));
      size_t first = 0;
      for (const TensorPart& part : table_.parts_of(tensor)) {
        read_part(s.reader, part, tensor.dtype(operand_), s.rows, all.subspan(first, part.weights.elements()));
        first += part.weights.elements();
        const std::lock_guard lock(mutex_);
        s.reader.close(parts_.hashes);
        if (s.reader.hash_of_masters()) parts_.hashes_of_masters.push_back(*s.reader.hash_of_masters());
      }
    }
    visit_(tensor, {s.values.data(), shape, DType::f32, Device::cpu});
  }

  const Stream& stream_;
  const TensorTable& table_;
  const DType operand_;
  const ReadValues values_;
  const VisitValues& visit_;
  PartsRead parts_;
  std::mutex mutex_;
};

/// Of the tensor or its transpose, for a checkpoint may have either.
int64_t longest_extent(const Shape& shape) {
  return shape.rank() == 1 ? shape[0] : std::max(shape[0], shape[1]);
}

int64_t most_scales(const ModelConfig& c, const Shape& shape) {
  const QuantisedWeights* q = c.quantised();
  if (q == nullptr || shape.rank() == 1) return 0;
  const auto blocks = [&](int64_t rows, int64_t columns) {
    return num_blocks(rows, q->block_rows) * num_blocks(columns, q->block_columns);
  };
  return std::max(blocks(shape[0], shape[1]), blocks(shape[1], shape[0]));
}

}  // namespace

void read_part(PartReader& reader, const TensorPart& part, DType operand, std::vector<float>& rows_buffer,
               std::span<float> out) {
  const int64_t rows = part.weights.rows, columns = part.weights.columns;
  const bool by_columns = part.transposed || (part.interleaved && rows == 1);
  const auto row_of = [columns](std::span<float> matrix, int64_t row) {
    return matrix.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns));
  };
  reader.open(part, operand);
  const int64_t at_once = reader.rows_at_once();
  for (int64_t first = 0; first < rows; first += at_once) {
    const int64_t count = std::min(at_once, rows - first);
    if (by_columns) {
      const std::span<float> values = first_of(rows_buffer, static_cast<size_t>(count * columns));
      reader.read(count, [&](int64_t row) { return row_of(values, row - first); });
      put_columns(values, first, part, out);
    } else {
      reader.read(count, [&](int64_t row) { return row_of(out, place_of(row, rows, part.interleaved)); });
    }
  }
}

PartsRead read_parameters(const Stream& stream, const TensorTable& table, DType operand, std::span<const int> experts,
                          ModelWeights* weights, const VisitValues& visit, ReadValues values) {
  return ParameterReader(stream, table, operand, values, visit).read(experts, weights);
}

size_t reading_bytes(const ModelConfig& config, const StoredTensor& tensor) {
  // A tensor is there as f32 values, besides what its reader holds, and rows that go to other places.
  const Shape shape = tensor.shape();
  const int64_t elements = shape.elements(), longest_row = longest_extent(shape);
  const int64_t turned = std::min(elements, std::max(PartReader::kWeightsAtOnce, longest_row));
  return static_cast<size_t>(elements + turned) * sizeof(float) +
         PartReader::buffer_bytes(elements, longest_row, most_scales(config, shape));
}

}  // namespace switchyard
