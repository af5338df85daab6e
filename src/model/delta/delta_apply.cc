#include "model/delta/delta_apply.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/text.h"
#include "io/delta_file.h"
#include "io/temporary_file.h"
#include "model/checkpoint/stored_hash.h"
#include "model/export/base_files.h"

namespace switchyard {
namespace {

constexpr size_t kAtOnce = size_t{1} << 22;  // bytes, of whole elements

/// Tensors of each file, in the order in which they lie there.
std::vector<std::vector<const TensorInfo*>> tensors_by_file(const Checkpoint& checkpoint) {
  std::vector<std::vector<const TensorInfo*>> files(checkpoint.files().size());
  for (const auto& [name, tensor] : checkpoint.tensors()) files[static_cast<size_t>(tensor.file)].push_back(&tensor);
  for (auto& tensors : files)
    std::ranges::sort(tensors, {}, [](const TensorInfo* t) { return std::pair(t->offset, t->bytes); });
  return files;
}

/// Writes a model's files with other elements, and has both models' hashes afterwards.
class PatchedCopy {
 public:
  PatchedCopy(const TensorTable& table, const std::filesystem::path& folder, const std::function<void()>& poll)
      : checkpoint_(table.checkpoint()), parts_(table), folder_(folder), poll_(poll) {}

  uint64_t write() {
    const std::vector<std::filesystem::path> files = checkpoint_.files();
    const auto tensors = tensors_by_file(checkpoint_);
    uint64_t bytes = 0;
    for (size_t i = 0; i < files.size(); ++i) bytes += write_file(files[i], tensors[i]);
    return bytes;
  }
  std::string hash_before() const { return before_.digest().hex(); }
  std::string hash_after() const { return after_.digest().hex(); }

 private:
  uint64_t write_file(const std::filesystem::path& path, const std::vector<const TensorInfo*>& tensors) {
    const InputFile original(path);
    OutputFile copy(folder_ / path.filename());
    const uint64_t header = tensors.empty() ? original.size() : tensors.front()->offset;
    for (uint64_t first = 0; first < header; first += kAtOnce) {
      const auto bytes = first_of(buffer_, static_cast<size_t>(std::min<uint64_t>(kAtOnce, header - first)));
      original.read(first, bytes);
      append(copy, bytes);
    }
    for (const TensorInfo* tensor : tensors)
      for (uint64_t first = 0; first < tensor->bytes; first += kAtOnce) {
        const auto bytes = first_of(buffer_, static_cast<size_t>(std::min<uint64_t>(kAtOnce, tensor->bytes - first)));
        checkpoint_.read_unpatched(*tensor, first, bytes);
        before_.update(*tensor, first, bytes);
        checkpoint_.patch(*tensor, first, bytes);
        after_.update(*tensor, first, bytes);
        append(copy, bytes);
        if (poll_) poll_();
      }
    copy.sync();
    copy.close();
    return original.size();
  }

  static void append(OutputFile& file, std::span<const std::byte> bytes) {
    file.write({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  }

  const Checkpoint& checkpoint_;
  const StoredParts parts_;
  const std::filesystem::path folder_;
  const std::function<void()>& poll_;
  StoredHasher before_{parts_}, after_{parts_};
  std::vector<std::byte> buffer_;
};

/// What is not weights.
void copy_other_files(const std::filesystem::path& model, const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files = companion_files(model);
  files.emplace_back("config.json");
  if (is_listed(model / kWeightsIndex)) files.emplace_back(kWeightsIndex);
  for (const std::filesystem::path& file : files) {
    make_directories((folder / file).parent_path());
    write_file_atomically(folder / file, read_text_file(model / file));
  }
}

void require_room(const std::filesystem::path& output, const Checkpoint& checkpoint) {
  if (is_listed(output)) fail(ExitCode::output, "{}: is there already, expected a new name", output.native());
  uint64_t bytes = 0;
  for (const auto& [name, tensor] : checkpoint.tensors()) bytes += tensor.bytes;
  std::filesystem::path parent = output.parent_path();
  if (parent.empty()) parent = ".";
  make_directories(parent);
  if (const uint64_t free = free_disk_bytes(parent); free < bytes)
    fail(ExitCode::output, "{}: the model takes {}, its disk has {} left", output.native(), bytes_text(bytes),
         bytes_text(free));
}

}  // namespace

AppliedDeltas apply_deltas(const std::filesystem::path& model, const ModelConfig& config,
                           std::span<const std::filesystem::path> deltas, DeltaDirection direction,
                           const std::filesystem::path& output, const std::function<void()>& poll) {
  const Checkpoint checkpoint(model, deltas);
  const TensorTable table(checkpoint, config, model.native());
  require_room(output, checkpoint);
  const TemporaryFolder folder(output);
  copy_other_files(model, folder.path());
  PatchedCopy copy(table, folder.path(), poll);
  const uint64_t bytes = copy.write();

  const DeltaFile &first = *checkpoint.deltas().front(), &last = *checkpoint.deltas().back();
  AppliedDeltas applied{first.base(), last.result(), bytes};
  if (direction == DeltaDirection::back) std::swap(applied.from, applied.to);
  if (const std::string found = copy.hash_before(); found != applied.from) {
    if (direction == DeltaDirection::forward)
      fail(ExitCode::input, "{}: wrong base: the delta was cut from the model {}, {} is {}", first.path().native(),
           applied.from, model.native(), found);
    fail(ExitCode::input, "{}: wrong model: the delta leads to the model {}, {} is {}", last.path().native(),
         applied.from, model.native(), found);
  }
  if (const std::string found = copy.hash_after(); found != applied.to)
    fail(ExitCode::input, "{}: leads {} to the model {}, expected {}: a delta is damaged", last.path().native(),
         direction == DeltaDirection::forward ? "on" : "back", found, applied.to);
  folder.publish();
  return applied;
}

}  // namespace switchyard
