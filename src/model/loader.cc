#include "model/loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/device.h"
#include "base/log.h"
#include "kernels/rows/cast.h"

namespace switchyard {
namespace {

/// Where a part's weight is in the whole tensor: fused experts are slices.
uint64_t index_in_tensor(const TensorPart& part, size_t i) {
  return part.first_byte / size_of(part.tensor->dtype) + i;
}

/// Stored bytes to f32. Fails on the first value that is not finite.
void widen(std::span<const std::byte> bytes, DType dtype, std::span<float> out, const TensorPart& part) {
  const size_t n = out.size();
  switch (dtype) {
    case DType::f32:
      std::memcpy(out.data(), bytes.data(), n * sizeof(float));
      break;
    case DType::bf16: {
      const auto* in = reinterpret_cast<const BFloat16*>(bytes.data());
      for (size_t i = 0; i < n; ++i) out[i] = to_float(in[i]);
      break;
    }
    case DType::f16: {
      const auto* in = reinterpret_cast<const uint16_t*>(bytes.data());
      for (size_t i = 0; i < n; ++i) out[i] = half_to_float(in[i]);
      break;
    }
    default:
      SWITCHYARD_CHECK(false, "weights of dtype {}", name_of(dtype));
  }
  // A sum of x·0 is zero exactly when all x are finite; it vectorises, a branch per weight does not.
  float zeros = 0;
  for (size_t i = 0; i < n; ++i) zeros += out[i] * 0.0f;
  if (zeros == 0.0f) return;
  for (size_t i = 0; i < n; ++i)
    if (!std::isfinite(out[i]))
      fail(ExitCode::input, "tensor {}: weight {} is {}, expected a finite number", part.tensor->name,
           index_in_tensor(part, i), out[i]);
}

/// Weights [first, first + count) of a whole tensor, as f32.
void read_weights(const Checkpoint& checkpoint, const TensorPart& part, size_t first, size_t count,
                  std::vector<std::byte>& raw, std::vector<float>& out) {
  TensorPart piece = part;
  piece.first_byte = first * size_of(part.tensor->dtype);
  raw.resize(count * size_of(part.tensor->dtype));
  out.resize(count);
  checkpoint.read(*part.tensor, piece.first_byte, raw);
  widen(raw, part.tensor->dtype, out, piece);
}

/// f32 values that stay finite when rounded to bf16.
void check_bf16_range(std::span<const float> values, const TensorPart& part) {
  constexpr float kLargest = 0x1.ffp127f;  // rounds to infinity from here on
  const auto bad = std::find_if(values.begin(), values.end(), [](float x) { return std::fabs(x) >= kLargest; });
  if (bad != values.end())
    fail(ExitCode::input, "tensor {}: weight {} is {}, beyond the range of bf16 (use --dtype f32)", part.tensor->name,
         index_in_tensor(part, static_cast<size_t>(bad - values.begin())), *bad);
}

void transpose(std::span<const float> in, int64_t rows, int64_t columns, std::span<float> out) {
  constexpr int64_t kBlock = 32;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns; c0 += kBlock)
      for (int64_t r = r0; r < std::min(rows, r0 + kBlock); ++r)
        for (int64_t c = c0; c < std::min(columns, c0 + kBlock); ++c)
          out[static_cast<size_t>(c * rows + r)] = in[static_cast<size_t>(r * columns + c)];
}

/// Scratch of one worker: a tensor's values, and the bytes of a part, and its values where they are to be transposed.
struct Scratch {
  std::vector<std::byte> raw;
  std::vector<float> values, turned;
};

/// The first n of at least so many.
template <class T>
std::span<T> first_of(std::vector<T>& grown, size_t n) {
  grown.resize(std::max(grown.size(), n));
  return std::span(grown).first(n);
}

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
      Scratch scratch;  // of the largest matrices: one after the other, so that it exists once
      for_each_tensor(table_.config(), experts, &loaded_.weights, [&](const StoredTensor& tensor) {
        if (tensor.in_layer())
          in_layers.push_back(tensor);
        else
          load(tensor, scratch);
      });
    }
    std::vector<Scratch> scratch(static_cast<size_t>(stream_.pool->num_threads()));
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
      const std::span<float> values = all.subspan(first, part.elements());
      read(part, dtype, s, part.transposed ? first_of(s.turned, part.elements()) : values);
      if (part.transposed) transpose(s.turned, part.rows, part.columns, values);
      first += part.elements();
    }
  }

  /// As stored.
  void read(const TensorPart& part, DType dtype, Scratch& s, std::span<float> out) {
    const auto raw = first_of(s.raw, part.bytes);
    table_.checkpoint().read(*part.tensor, part.first_byte, raw);
    const Hash128 hash = hash_of(raw);
    widen(raw, part.tensor->dtype, out, part);
    if (dtype == DType::bf16) check_bf16_range(out, part);
    const std::lock_guard lock(mutex_);
    loaded_.hashes.push_back({part.id, hash});
  }

  const Stream& stream_;
  const TensorTable& table_;
  const DType operand_;
  LoadedModel loaded_;
  std::mutex mutex_;
};

}  // namespace

void check_tied_copy(const TensorTable& table) {
  if (!table.tied_copy()) return;
  const auto& [embed, copy] = *table.tied_copy();
  const Checkpoint& checkpoint = table.checkpoint();
  constexpr size_t kWeights = 1 << 18;
  const size_t total = embed.elements();
  std::vector<float> expected, found;
  std::vector<std::byte> raw;
  for (size_t first = 0; first < total; first += kWeights) {
    read_weights(checkpoint, embed, first, std::min(kWeights, total - first), raw, expected);
    read_weights(checkpoint, copy, first, std::min(kWeights, total - first), raw, found);
    if (std::memcmp(expected.data(), found.data(), expected.size() * sizeof(float)) == 0) continue;
    size_t i = 0;
    while (std::memcmp(&expected[i], &found[i], sizeof(float)) == 0) ++i;
    fail(ExitCode::input, "tensor {}: weight {} is {}, expected {} as in {}, for tie_word_embeddings is true", copy.id,
         first + i, found[i], expected[i], embed.id);
  }
  log::info("tensor {} equals {}, to which it is tied", copy.id, embed.id);
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
  // A tensor is read as stored bytes (at most 4 each) and f32 values.
  const auto reading = [](const StoredTensor& t) {
    return static_cast<size_t>(2 * t.shape().elements()) * sizeof(float);
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
