#include "model/export/model_writer.h"

#include <algorithm>
#include <map>
#include <optional>

#include "base/log.h"
#include "base/steps.h"
#include "io/json.h"
#include "io/temporary_file.h"
#include "model/checkpoint/part_reader.h"
#include "model/checkpoint/tensor_layout.h"
#include "model/export/base_files.h"

namespace switchyard {
namespace {

template <class T, class Round>
void round_to(std::span<const float> values, std::vector<std::byte>& out, const Round& round) {
  out.resize(values.size() * sizeof(T));
  auto* to = reinterpret_cast<T*>(out.data());
  for (size_t i = 0; i < values.size(); ++i) to[i] = round(values[i]);
}

/// first: the values' index in the tensor.
void encode(const TensorSpec& tensor, std::span<const float> values, uint64_t first, std::vector<std::byte>& out) {
  if (const float limit = overflow_limit(tensor.dtype); !all_below(values, limit)) {
    size_t i = 0;
    while (all_below(values.subspan(i, 1), limit)) ++i;
    fail(ExitCode::output, "tensor {}: weight {} is {}, expected a number that {} can hold", tensor.name, first + i,
         values[i], name_of(tensor.dtype));
  }
  if (tensor.dtype == DType::bf16)
    round_to<BFloat16>(values, out, to_bfloat16);
  else if (tensor.dtype == DType::f16)
    round_to<uint16_t>(values, out, to_half);
  else
    round_to<float>(values, out, [](float x) { return x; });
}

/// A matrix, or vectors, [out, in] to what is stored of it.
void turn(const ExportTensor& tensor, std::span<const float> values, std::vector<float>& out) {
  out.resize(values.size());
  const bool is_vector = tensor.parameters[0].shape.rank() == 1;
  const int64_t columns = tensor.spec.shape.back(), rows = std::ssize(values) / columns;
  if (is_vector || tensor.transposed)
    return for_each_turned(rows, columns, tensor.interleaved, 0, rows,
                           [&](size_t stored, size_t at) { out[stored] = values[at]; });
  for (int64_t row = 0; row < rows; ++row)
    std::ranges::copy(
        values.subspan(static_cast<size_t>(place_of(row, rows, true) * columns), static_cast<size_t>(columns)),
        out.begin() + row * columns);
}

/// Writes weights piece by piece, one file after the other.
class WeightsWriter {
 public:
  void begin(const std::filesystem::path& path, const ExportFile& file) {
    std::vector<TensorSpec> specs;
    for (const ExportTensor& tensor : file.tensors) specs.push_back(tensor.spec);
    writer_.emplace(path, specs);
  }
  /// The values of a piece; first: their index in the tensor.
  void append(const ExportTensor& tensor, uint64_t first, std::span<const float> values) {
    if (tensor.is_turned()) {
      turn(tensor, values, turned_);
      values = turned_;
    }
    encode(tensor.spec, values, first, encoded_);
    writer_->append(encoded_);
  }
  void end() {
    writer_->finish();
    writer_.reset();
  }

 private:
  std::optional<SafetensorsWriter> writer_;
  std::vector<float> turned_;
  std::vector<std::byte> encoded_;
};

/// The values of a piece, one block of rows below the other.
std::span<const float> fetch(std::span<const ParameterRows> piece, const RowSource& source,
                             std::vector<float>& buffer) {
  size_t elements = 0;
  for (const ParameterRows& rows : piece) elements += rows.elements();
  const std::span<float> values = first_of(buffer, elements);
  size_t first = 0;
  for (const ParameterRows& rows : piece) {
    source(rows, values.subspan(first, rows.elements()));
    first += rows.elements();
  }
  return values;
}

void write_index(const std::filesystem::path& directory, const ExportPlan& plan) {
  std::map<std::string, std::string> file_of;
  for (const ExportFile& file : plan.files)
    for (const ExportTensor& tensor : file.tensors) file_of[tensor.spec.name] = file.name;
  Json index{{"metadata", {{"total_size", plan.bytes()}}}, {"weight_map", Json::object()}};
  auto& members = index["weight_map"].get_ref<Json::object_t&>();
  for (const auto& [tensor, file] : file_of) members.emplace_back(tensor, file);  // without a search for equal names
  write_file_atomically(directory / kWeightsIndex, index.dump(2) + "\n");
}

/// All that is not weights.
void write_base_files(const std::filesystem::path& directory, const std::filesystem::path& origin,
                      const ExportPlan& plan) {
  write_file_atomically(directory / "config.json", exported_config(origin, plan.dtype));
  for (const std::filesystem::path& file : companion_files(origin)) {
    make_directories((directory / file).parent_path());
    write_file_atomically(directory / file, read_text_file(directory_of(origin) / file));
  }
  if (plan.files.size() > 1) write_index(directory, plan);
}

void log_left_out(const std::filesystem::path& directory, const ExportPlan& plan) {
  if (plan.left_out.empty()) return;
  log::info("{}: without {} tensors of the base that are no part of the model of text: {}{}", directory.native(),
            plan.left_out.size(), plan.left_out.front(), plan.left_out.size() > 1 ? ", …" : "");
}

}  // namespace

void write_model(const std::filesystem::path& directory, const std::filesystem::path& origin, const ExportPlan& plan,
                 const RowSource& source) {
  Steps steps;
  std::optional<TemporaryFolder> folder;
  steps.run([&] {
    folder.emplace(directory);
    write_base_files(folder->path(), origin, plan);
  });
  WeightsWriter writer;
  std::vector<float> buffer;
  for (const ExportFile& file : plan.files) {
    steps.run([&] { writer.begin(folder->path() / file.name, file); });
    for (const ExportTensor& tensor : file.tensors) {
      uint64_t first = 0;
      for_each_piece(tensor, [&](std::span<const ParameterRows> piece) {
        const std::span<const float> values = fetch(piece, source, buffer);
        steps.run([&] { writer.append(tensor, first, values); });
        first += values.size();
      });
    }
    steps.run([&] { writer.end(); });
  }
  steps.run([&] { folder->publish(); });
  steps.rethrow();
  log_left_out(directory, plan);
}

}  // namespace switchyard
