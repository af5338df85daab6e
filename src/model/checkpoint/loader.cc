#include "model/checkpoint/loader.h"

#include <algorithm>
#include <cstring>

#include "base/device.h"
#include "base/log.h"
#include "kernels/rows/cast.h"
#include "model/checkpoint/parameter_reader.h"

namespace switchyard {
namespace {

/// Rounds and packs what is read into the places that the tensors name.
class Packer {
 public:
  Packer(const Stream& stream, DType operand) : stream_(stream), operand_(operand) {}

  void pack(const StoredTensor& to, ConstView values) const {
    if (stream_.device == Device::cuda) use_device(stream_.device_index);  // this thread's, for allocations
    const DType dtype = to.dtype(operand_);
    if (to.packed) {
      *to.matrix = PackedMatrix::pack(stream_, values, dtype, to.order);
      return;
    }
    *to.tensor = OwnedTensor(values.shape, dtype, stream_.device);
    if (dtype == DType::f32)
      copy(stream_, values, to.tensor->view());
    else
      upload_rounded(values, to.tensor->view());
  }

 private:
  /// to = from, rounded on the host: to another device in pieces.
  void upload_rounded(ConstView from, View to) const {
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

  const Stream& stream_;
  const DType operand_;
};

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
  LoadedModel loaded;
  loaded.weights = empty_weights(table.config(), operand, placement.count(rank));
  const Packer packer(stream, operand);
  PartsRead read = read_parameters(stream, table, operand, placement.experts_of(rank), &loaded.weights,
                                   [&](const StoredTensor& tensor, ConstView values) { packer.pack(tensor, values); });
  loaded.hashes = std::move(read.hashes);
  loaded.bytes_read = read.bytes;
  return loaded;
}

WeightBytes predict_weight_bytes(const ModelConfig& c, DType operand, int64_t local_experts, int threads,
                                 Device device) {
  WeightBytes bytes;
  size_t outside = 0, reading_outside = 0, reading_layers = 0;
  constexpr std::array kOne = {0};  // expert, for all
  for_each_tensor(c, kOne, nullptr, [&](const StoredTensor& t) {
    bytes.resident += t.bytes(operand, device) * static_cast<size_t>(t.of_expert() ? local_experts : 1);
    if (t.in_layer()) {
      reading_layers = std::max(reading_layers, reading_bytes(c, t));  // one a thread
    } else {  // one after the other, when nothing else is there yet
      outside += device == Device::cpu ? t.bytes(operand, device) : 0;
      reading_outside = std::max(reading_outside, outside + reading_bytes(c, t));
    }
  });
  bytes.scratch = static_cast<size_t>(threads) * reading_layers;
  const size_t there = device == Device::cpu ? bytes.resident : 0;
  if (reading_outside > there) bytes.scratch = std::max(bytes.scratch, reading_outside - there);
  return bytes;
}

}  // namespace switchyard
