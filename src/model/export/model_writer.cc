#include "model/export/model_writer.h"

#include <map>
#include <optional>

#include "base/log.h"
#include "base/steps.h"
#include "io/json.h"
#include "io/temporary_file.h"
#include "model/export/base_files.h"
#include "model/export/piece_encoder.h"

namespace switchyard {
namespace {

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
                 const RowSource& source, const SeePiece& see) {
  Steps steps;
  std::optional<TemporaryFolder> folder;
  steps.run([&] {
    folder.emplace(directory);
    write_base_files(folder->path(), origin, plan);
  });
  std::optional<SafetensorsWriter> writer;
  PieceEncoder encoder;
  for (const ExportFile& file : plan.files) {
    steps.run([&] {
      std::vector<TensorSpec> specs;
      for (const ExportTensor& tensor : file.tensors) specs.push_back(tensor.spec);
      writer.emplace(folder->path() / file.name, specs);
    });
    for (const ExportTensor& tensor : file.tensors) {
      uint64_t first = 0;
      for_each_piece(tensor, [&](std::span<const ParameterRows> piece) {
        const std::span<const float> values = encoder.fetch(piece, source);
        steps.run([&] {
          if (see) see(tensor, piece, values);
          writer->append(encoder.encode(tensor, first, values).bytes);
        });
        first += values.size();
      });
    }
    steps.run([&] { writer->finish(); });
  }
  steps.run([&] { folder->publish(); });
  steps.rethrow();
  log_left_out(directory, plan);
}

}  // namespace switchyard
