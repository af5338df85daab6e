#include "model/checkpoint/loader.h"

#include <algorithm>
#include <cstring>
#include <mutex>

#include "base/device.h"
#include "base/log.h"
#include "kernels/rows/cast.h"

namespace switchyard {
namespace {

/// Where a stored output goes: gate's and up's may be stored by turns.
int64_t place_of(int64_t output, int64_t num_outputs, bool interleaved) {
  return interleaved ? output % 2 * (num_outputs / 2) + output / 2 : output;
}

/// Rows [first, …) of a part stored [in, out], or of a vector, to their columns in out, [out, in].
void put_columns(std::span<const float> in, int64_t first, const TensorPart& part, std::span<float> out) {
  constexpr int64_t kBlock = 32;
  const int64_t rows = part.weights.rows, columns = part.weights.columns, end = first + std::ssize(in) / columns;
  for (int64_t r0 = first; r0 < end; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns; c0 += kBlock)
      for (int64_t r = r0; r < std::min(end, r0 + kBlock); ++r)
        for (int64_t c = c0; c < std::min(columns, c0 + kBlock); ++c)
          out[static_cast<size_t>(place_of(c, columns, part.interleaved) * rows + r)] =
              in[static_cast<size_t>((r - first) * columns + c)];
}

/// Of one worker: a tensor's values, and those of some rows that go to other places in it.
struct Scratch {
  PartReader reader;
  std::vector<float> values = {}, rows = {};
};

class Loader {
 public:
  Loader(const Stream& stream, const TensorTable& table, DType operand)
      : stream_(stream), table_(table), operand_(operand) {}

  LoadedModel load(std::span<const int> experts) {
    loaded_.weights = empty_weights(table_.config(), operand_, static_cast<int>(experts.size()));
    const uint64_t before = table_.checkpoint().bytes_read();
    if (stream_.device == Device::cuda) use_device(stream_.device_index);
    std::vector<StoredTensor> in_layers;
    {
      // Of the largest matrices: one after the other, so that it exists once.
      Scratch scratch{PartReader(table_.checkpoint())};
      for_each_tensor(table_.config(), experts, &loaded_.weights, [&](const StoredTensor& tensor) {
        if (tensor.in_layer())
          in_layers.push_back(tensor);
        else
          load(tensor, scratch);
      });
    }
    std::vector<Scratch> scratch(static_cast<size_t>(stream_.pool->num_threads()), {PartReader(table_.checkpoint())});
    stream_.parallel_for(static_cast<int64_t>(in_layers.size()), [&](int64_t task, int worker) {
      if (stream_.device == Device::cuda) use_device(stream_.device_index);  // this thread's, for allocations
      load(in_layers[static_cast<size_t>(task)], scratch[static_cast<size_t>(worker)]);
    });
    synchronize(stream_);  // before the scratch goes
    loaded_.bytes_read = table_.checkpoint().bytes_read() - before;
    return std::move(loaded_);
  }

 private:
  void load(const StoredTensor& to, Scratch& s) {
    const Shape shape = to.shape();
    const DType dtype = to.dtype(operand_);
    if (!to.tied) read(to, dtype, s);  // else its values are still there
    const ConstView values{s.values.data(), shape, DType::f32, Device::cpu};
    if (to.packed) {
      *to.matrix = PackedMatrix::pack(stream_, values, dtype, to.order);
      return;
    }
    *to.tensor = OwnedTensor(shape, dtype, stream_.device);
    if (dtype == DType::f32)
      copy(stream_, values, to.tensor->view());
    else
      upload_rounded(values, to.tensor->view());
  }

  /// to = from, rounded on the host: to another device in pieces.
  void upload_rounded(ConstView from, View to) {
    Stream host = stream_;
    host.device = Device::cpu;
    if (to.device == Device::cpu) return cast(host, from, to);
    constexpr int64_t kRows = 4096;
    const OwnedTensor piece({std::min(kRows, from.rows()), from.row_elements()}, to.dtype);
    for (int64_t first = 0; first < from.rows(); first += kRows) {
      const int64_t rows = std::min(kRows, from.rows() - first);
      View rounded{const_cast<void*>(piece.view().data), {rows, from.row_elements()}, to.dtype, Device::cpu};
      cast(host, from.slice(first, rows), rounded);
      copy(stream_, rounded, to.slice(first, rows));
    }
  }

  /// All parts as f32, [out, in], one below the other in s.values.
  void read(const StoredTensor& tensor, DType dtype, Scratch& s) {
    const std::span<float> all = first_of(s.values, static_cast<size_t>(tensor.shape().elements()));
    size_t first = 0;
    for (const TensorPart& part : table_.parts_of(tensor)) {
      read(part, dtype, s, all.subspan(first, part.weights.elements()));
      first += part.weights.elements();
    }
  }

  /// A part as f32, [out, in].
  void read(const TensorPart& part, DType dtype, Scratch& s, std::span<float> out) {
    const int64_t rows = part.weights.rows, columns = part.weights.columns;
    const bool by_columns = part.transposed || (part.interleaved && rows == 1);
    const auto row_of = [columns](std::span<float> matrix, int64_t row) {
      return matrix.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns));
    };
    s.reader.open(part, dtype);
    const int64_t at_once = s.reader.rows_at_once();
    for (int64_t first = 0; first < rows; first += at_once) {
      const int64_t count = std::min(at_once, rows - first);
      if (by_columns) {
        const std::span<float> values = first_of(s.rows, static_cast<size_t>(count * columns));
        s.reader.read(count, [&](int64_t row) { return row_of(values, row - first); });
        put_columns(values, first, part, out);
      } else {
        s.reader.read(count, [&](int64_t row) { return row_of(out, place_of(row, rows, part.interleaved)); });
      }
    }
    const std::lock_guard lock(mutex_);
    s.reader.close(loaded_.hashes);
  }

  const Stream& stream_;
  const TensorTable& table_;
  const DType operand_;
  LoadedModel loaded_;
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

void check_tied_copy(const TensorTable& table) {
  if (!table.tied_copy()) return;
  const auto& [embed, copy] = *table.tied_copy();
  const std::string &embed_id = embed.weights.id, &copy_id = copy.weights.id;
  PartReader embed_reader(table.checkpoint()), copy_reader(table.checkpoint());
  embed_reader.open(embed);
  copy_reader.open(copy);
  const int64_t rows = embed.weights.rows, columns = embed.weights.columns, at_once = embed_reader.rows_at_once();
  std::vector<float> expected, found;
  for (int64_t first = 0; first < rows; first += at_once) {
    const int64_t count = std::min(at_once, rows - first);
    const auto read = [&](PartReader& reader, std::vector<float>& values) {
      values.resize(static_cast<size_t>(count * columns));
      reader.read(count, [&](int64_t row) {
        return std::span(values).subspan(static_cast<size_t>((row - first) * columns), static_cast<size_t>(columns));
      });
    };
    read(embed_reader, expected);
    read(copy_reader, found);
    if (std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) == 0) continue;
    size_t i = 0;
    while (std::memcmp(&expected[i], &found[i], sizeof(float)) == 0) ++i;
    fail(ExitCode::input, "tensor {}: weight {} is {}, expected {} as in {}, for tie_word_embeddings is true", copy_id,
         static_cast<uint64_t>(first * columns) + i, found[i], expected[i], embed_id);
  }
  log::info("tensor {} equals {}, to which it is tied", copy_id, embed_id);
}

LoadedModel load_model(const Stream& stream, const TensorTable& table, DType operand, const ExpertPlacement& placement,
                       int rank) {
  if (rank == 0) check_tied_copy(table);  // the others would read the same again
  return Loader(stream, table, operand).load(placement.experts_of(rank));
}

Hash128 combine_hashes(std::vector<PartHash> parts) {
  std::sort(parts.begin(), parts.end(), [](const PartHash& a, const PartHash& b) { return a.id < b.id; });
  Hasher hasher;
  const PartHash* previous = nullptr;
  for (const PartHash& part : parts) {
    if (previous != nullptr && previous->id == part.id) {
      // Dense parts are read by every rank: they must have read the same bytes.
      if (previous->hash != part.hash)
        fail(ExitCode::input, "tensor {}: ranks read different bytes; the checkpoint changed or is not shared",
             part.id);
      continue;
    }
    hasher.update(part.id);
    hasher.update(&part.hash, sizeof part.hash);
    previous = &part;
  }
  return hasher.digest();
}

WeightBytes predict_weight_bytes(const ModelConfig& c, DType operand, int64_t local_experts, int threads,
                                 Device device) {
  // A tensor is there as f32 values, besides what its reader holds, and rows that go to other places.
  const auto reading = [&](const StoredTensor& t) {
    const Shape shape = t.shape();
    const int64_t elements = shape.elements(), longest_row = longest_extent(shape);
    const int64_t turned = std::min(elements, std::max(PartReader::kWeightsAtOnce, longest_row));
    return static_cast<size_t>(elements + turned) * sizeof(float) +
           PartReader::buffer_bytes(elements, longest_row, most_scales(c, shape));
  };
  WeightBytes bytes;
  size_t outside = 0, reading_outside = 0, reading_layers = 0;
  constexpr std::array kOne = {0};  // expert, for all
  for_each_tensor(c, kOne, nullptr, [&](const StoredTensor& t) {
    bytes.resident += t.bytes(operand, device) * static_cast<size_t>(t.of_expert() ? local_experts : 1);
    if (t.in_layer()) {
      reading_layers = std::max(reading_layers, reading(t));  // one a thread
    } else {                                                  // one after the other, when nothing else is there yet
      outside += device == Device::cpu ? t.bytes(operand, device) : 0;
      reading_outside = std::max(reading_outside, outside + reading(t));
    }
  });
  bytes.scratch = static_cast<size_t>(threads) * reading_layers;
  const size_t there = device == Device::cpu ? bytes.resident : 0;
  if (reading_outside > there) bytes.scratch = std::max(bytes.scratch, reading_outside - there);
  return bytes;
}

}  // namespace switchyard
