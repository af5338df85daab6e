#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <mutex>

#include "base/device.h"
#include "base/log.h"
#include "kernels/rows/cast.h"
#include "model/weights.h"

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

/// Scratch of one worker: the bytes of a part, its values, and room to transpose them.
struct Scratch {
  std::vector<std::byte> raw;
  std::vector<float> values, turned;
};

class Loader {
 public:
  Loader(const Stream& stream, const Checkpoint& checkpoint, const ModelConfig& config, DType operand)
      : stream_(stream),
        checkpoint_(checkpoint),
        config_(config),
        operand_(operand),
        scratch_(static_cast<size_t>(stream.pool->num_threads())) {}

  LoadedModel load(const TensorTable& table, const ExpertPlacement& placement, int rank) {
    ModelWeights& w = loaded_.weights;
    w.config = config_;
    w.operand = operand_;
    w.layers.resize(table.layers.size());
    if (stream_.device == Device::cuda) use_device(stream_.device_index);
    add([&](Scratch& s) { w.norm = vector(table.norm, s); });
    for (size_t i = 0; i < table.layers.size(); ++i) plan_layer(table.layers[i], w.layers[i], placement, rank);
    const uint64_t before = checkpoint_.bytes_read();
    load_vocabulary(table, w);  // the largest matrices: one after the other, so that their scratch exists once
    stream_.parallel_for(static_cast<int64_t>(tasks_.size()), [&](int64_t task, int worker) {
      if (stream_.device == Device::cuda) use_device(stream_.device_index);  // this thread's, for allocations
      tasks_[static_cast<size_t>(task)](scratch_[static_cast<size_t>(worker)]);
    });
    synchronize(stream_);  // before the scratch goes
    loaded_.bytes_read = checkpoint_.bytes_read() - before;
    return std::move(loaded_);
  }

 private:
  using Task = std::function<void(Scratch&)>;
  void add(Task task) { tasks_.push_back(std::move(task)); }

  void plan_layer(const LayerParts& parts, LayerWeights& w, const ExpertPlacement& placement, int rank) {
    add([&](Scratch& s) {
      AttentionWeights& a = w.attention;
      a.norm = vector(parts.attention.norm, s);
      if (config_.qk_norm) {
        a.q_norm = vector(parts.attention.q_norm, s);
        a.k_norm = vector(parts.attention.k_norm, s);
      }
      w.ffn_norm = vector(parts.ffn_norm, s);
    });
    add([&](Scratch& s) { w.attention.q = matrix(parts.attention.q, operand_, s); });
    add([&](Scratch& s) { w.attention.k = matrix(parts.attention.k, operand_, s); });
    add([&](Scratch& s) { w.attention.v = matrix(parts.attention.v, operand_, s); });
    add([&](Scratch& s) { w.attention.o = matrix(parts.attention.o, operand_, s); });
    if (!parts.experts.empty()) {
      add([&](Scratch& s) { w.router = matrix(parts.router, DType::f32, s); });
      const std::span<const int> experts = placement.experts_of(rank);
      w.experts.resize(experts.size());
      for (size_t i = 0; i < experts.size(); ++i)
        plan_ffn(parts.experts[static_cast<size_t>(experts[i])], w.experts[i]);
    }
    plan_ffns(parts.shared, w.shared);
    plan_ffns(parts.dense, w.dense);
  }

  void plan_ffns(std::span<const FfnParts> parts, std::vector<FfnWeights>& out) {
    out.resize(parts.size());
    for (size_t i = 0; i < parts.size(); ++i) plan_ffn(parts[i], out[i]);
  }

  void plan_ffn(const FfnParts& part, FfnWeights& w) {
    add([this, &part, &w](Scratch& s) {
      w.gate_up = PackedMatrix::pack(stream_, part.is_fused() ? whole(part.gate_up, s) : stacked(part.gate, part.up, s),
                                     operand_, RowOrder::gate_up);
      w.down = matrix(part.down, operand_, s);
    });
  }

  void load_vocabulary(const TensorTable& table, ModelWeights& w) {
    Scratch s;
    const std::span<const float> values = read(table.embed, operand_, s);
    const Shape shape{config_.vocab_size, config_.hidden_size};
    w.embed = OwnedTensor(shape, operand_, stream_.device);
    const ConstView table_values{values.data(), shape, DType::f32, Device::cpu};
    upload_rounded(table_values, w.embed.view());
    w.head =
        config_.tied_embeddings ? PackedMatrix::pack(stream_, table_values, operand_) : matrix(table.head, operand_, s);
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

  /// A part's values as f32, [out, in]; valid until the scratch is used again.
  std::span<const float> read(const TensorPart& part, DType operand, Scratch& s) {
    s.values.resize(std::max(s.values.size(), elements(part)));
    return read_into(part, operand, s, std::span(s.values).first(elements(part)));
  }

  std::span<const float> read_into(const TensorPart& part, DType operand, Scratch& s, std::span<float> out) {
    s.raw.resize(std::max<size_t>(s.raw.size(), part.bytes));
    const auto raw = std::span(s.raw).first(part.bytes);
    checkpoint_.read(*part.tensor, part.first_byte, raw);
    const Hash128 hash = hash_of(raw);
    widen(raw, part.tensor->dtype, out, part);
    if (operand == DType::bf16) check_bf16_range(out, part);
    {
      const std::lock_guard lock(mutex_);
      loaded_.hashes.push_back({part.id, hash});
    }
    if (!part.transposed) return out;
    s.turned.resize(std::max(s.turned.size(), out.size()));
    transpose(out, part.rows, part.columns, s.turned);
    return std::span(s.turned).first(out.size());
  }

  OwnedTensor vector(const TensorPart& part, Scratch& s) {
    const std::span<const float> values = read(part, DType::f32, s);
    OwnedTensor tensor({std::ssize(values)}, DType::f32, stream_.device);
    copy(stream_, view_of(values), tensor.view());
    return tensor;
  }

  /// [out, in], valid until the scratch is used again.
  ConstView whole(const TensorPart& part, Scratch& s, DType operand) {
    const auto values = read(part, operand, s);
    const int64_t out = part.transposed ? part.columns : part.rows, in = part.transposed ? part.rows : part.columns;
    return {values.data(), {out, in}, DType::f32, Device::cpu};
  }
  ConstView whole(const TensorPart& part, Scratch& s) { return whole(part, s, operand_); }

  PackedMatrix matrix(const TensorPart& part, DType operand, Scratch& s) {
    return PackedMatrix::pack(stream_, whole(part, s, operand), operand);
  }

  /// Two matrices [f, d] as one [2f, d].
  ConstView stacked(const TensorPart& upper, const TensorPart& lower, Scratch& s) {
    const size_t n = elements(upper);
    s.values.resize(std::max(s.values.size(), 2 * n));
    const auto values = std::span(s.values).first(2 * n);
    read_into(upper, operand_, s, values.first(n));
    read_into(lower, operand_, s, values.last(n));
    return {values.data(), {upper.rows + lower.rows, upper.columns}, DType::f32, Device::cpu};
  }

  static size_t elements(const TensorPart& part) { return static_cast<size_t>(part.rows * part.columns); }

  const Stream& stream_;
  const Checkpoint& checkpoint_;
  const ModelConfig& config_;
  DType operand_;
  std::vector<Scratch> scratch_;
  std::vector<Task> tasks_;
  LoadedModel loaded_;
  std::mutex mutex_;
};

}  // namespace

void check_tied_copy(const Checkpoint& checkpoint, const TensorTable& table) {
  const TensorPart &embed = table.embed, &copy = table.tied_copy;
  if (copy.tensor == nullptr) return;
  constexpr size_t kWeights = 1 << 18;
  const auto total = static_cast<size_t>(embed.rows * embed.columns);
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

LoadedModel load_model(const Stream& stream, const Checkpoint& checkpoint, const TensorTable& table,
                       const ModelConfig& config, DType operand, const ExpertPlacement& placement, int rank) {
  if (rank == 0) check_tied_copy(checkpoint, table);  // the others would read the same again
  return Loader(stream, checkpoint, config, operand).load(table, placement, rank);
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
  const int64_t d = c.hidden_size, q = c.num_heads * c.head_dim, kv = c.num_kv_heads * c.head_dim;
  const auto packed = [&](int64_t n, int64_t k) { return PackedMatrix::packed_bytes(n, k, operand, device); };
  const auto ffn = [&](int64_t f) { return f == 0 ? 0 : packed(2 * f, d) + packed(d, f); };
  const auto vector = [&](int64_t n) { return allocation_bytes({n}, DType::f32, device); };
  const auto floats = [](int64_t n) { return static_cast<size_t>(n) * sizeof(float); };

  const auto moe = static_cast<size_t>(c.num_moe_layers()), layers = static_cast<size_t>(c.num_layers);
  WeightBytes bytes;
  bytes.resident = layers * (packed(q, d) + 2 * packed(kv, d) + packed(d, q) + 2 * vector(d) +
                             (c.qk_norm ? 2 * vector(c.head_dim) : 0));
  bytes.resident += moe * (PackedMatrix::packed_bytes(c.num_experts, d, DType::f32, device) + ffn(c.shared_ffn_size));
  bytes.resident +=
      moe * static_cast<size_t>(local_experts) * ffn(c.expert_ffn_size) + (layers - moe) * ffn(c.dense_ffn_size);
  const size_t vocabulary = packed(c.vocab_size, d) + allocation_bytes({c.vocab_size, d}, operand, device);
  bytes.resident += vocabulary + vector(d);

  // While reading: stored bytes (at most 4 each) and f32 values of the largest part, one a thread; before that, the
  // same for the vocabulary's matrices, when nothing else is there yet.
  const int64_t f = std::max({c.expert_ffn_size, c.shared_ffn_size, c.dense_ffn_size});
  const int64_t largest = std::max({2 * f * d, q * d, c.num_experts * d});
  bytes.scratch = static_cast<size_t>(threads) * floats(2 * largest);
  if (device != Device::cpu) {
    bytes.scratch = std::max(bytes.scratch, floats(2 * c.vocab_size * d));
    return bytes;
  }
  const size_t reading_vocabulary = vocabulary + floats(2 * c.vocab_size * d);
  if (reading_vocabulary > bytes.resident) bytes.scratch = std::max(bytes.scratch, reading_vocabulary - bytes.resident);
  return bytes;
}

}  // namespace switchyard
