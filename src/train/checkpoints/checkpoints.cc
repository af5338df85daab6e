#include "train/checkpoints/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"
#include "comm/collectively.h"
#include "io/file.h"
#include "io/temporary_file.h"

namespace switchyard {
namespace {

constexpr std::string_view kManifest = "checkpoint.json", kName = "step-";
constexpr int64_t kFormat = 1;

/// A folder's step, or −1.
int64_t step_of(std::string_view name) {
  if (!name.starts_with(kName)) return -1;
  name.remove_prefix(kName.size());
  const bool digits = std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
  return digits && name.size() >= 6 && name.size() < 16 ? std::stoll(std::string(name)) : -1;
}

std::vector<double> numbers_of(const Json& manifest, const char* field) {
  std::vector<double> numbers;
  for (const Json& value : manifest.value(field, Json::array()))
    numbers.push_back(value.is_number() ? value.get<double>() : 0);
  return numbers;
}

Json manifest_of(const CheckpointNotes& notes, const std::string& identity, const StateFiles& files,
                 const std::vector<std::string>& hashes) {
  Json list = Json::array();
  for (size_t i = 0; i < hashes.size(); ++i) list.push_back({{"name", files.files()[i].name}, {"xxh3_128", hashes[i]}});
  return {{"format", kFormat},
          {"run", identity},
          {"step", notes.step},
          {"best_step", notes.best_step},
          {"best_loss", notes.best_loss},
          {"tokens_per_expert", notes.tokens_per_expert},
          {"targets", notes.targets},
          {"expert_gates", notes.routing.gates},
          {"expert_choices", notes.routing.choices},
          {"files", std::move(list)}};
}

}  // namespace

void CheckpointNotes::add_tokens(std::span<const int64_t> more) {
  tokens_per_expert.resize(more.size());
  for (size_t i = 0; i < more.size(); ++i) tokens_per_expert[i] += more[i];
}

Checkpoints::Checkpoints(std::filesystem::path root, TrainedModel& model, std::string identity)
    : folder_(std::move(root) / kFolder), model_(model), files_(model), identity_(std::move(identity)) {}

std::filesystem::path Checkpoints::path_of(int64_t step) const {
  return folder_ / fmt::format("{}{:06d}", kName, step);
}

std::vector<int64_t> Checkpoints::steps_present() const {
  std::vector<int64_t> steps;
  for (const std::filesystem::path& entry : list_directory(folder_))
    if (const int64_t step = step_of(entry.filename().native()); step >= 0) steps.push_back(step);
  std::ranges::sort(steps);
  return steps;
}

std::optional<CheckpointNotes> Checkpoints::restore(const Stream& stream, const std::function<void()>& poll) {
  Communicator& world = model_.ranks().world();
  std::string first_fault;
  while (true) {
    const std::vector<int64_t> all = steps();
    if (all.empty()) break;
    const Found found = find(all.back());
    const std::filesystem::path path = path_of(found.notes.step);
    const std::string fault = found.fault.empty() ? files_.read(path, found.hashes, poll) : found.fault;
    if (fault.empty()) {
      model_.spread(stream);
      if (!first_fault.empty() && world.rank() == 0) log::warning("going on from step {} instead", found.notes.step);
      return found.notes;
    }
    if (first_fault.empty()) first_fault = fault;
    collectively(world, [&] {
      if (world.rank() != 0) return;
      const std::filesystem::path aside = path.native() + ".damaged";
      log::warning("checkpoint {} is of no use, and is now called {}: {}", path.native(), aside.filename().native(),
                   fault);
      publish_directory(path, aside);
    });
  }
  if (!first_fault.empty()) fail_together(ExitCode::input, "no checkpoint of the run is whole: {}", first_fault);
  return std::nullopt;
}

std::vector<int64_t> Checkpoints::steps() const {
  Communicator& world = model_.ranks().world();
  std::vector<int64_t> steps;
  collectively(world, [&] {
    if (world.rank() == 0) steps = steps_present();
  });
  int64_t count = std::ssize(steps);
  world.broadcast({&count, {1}, DType::i64}, 0);
  steps.resize(static_cast<size_t>(count));
  world.broadcast({steps.data(), {count}, DType::i64}, 0);
  return steps;
}

void Checkpoints::restore(const Stream& stream, int64_t step, const std::function<void()>& poll) {
  const Found found = find(step);
  const std::string fault = found.fault.empty() ? files_.read(path_of(step), found.hashes, poll) : found.fault;
  if (!fault.empty()) fail_together(ExitCode::input, "{}", fault);
  model_.spread(stream);
}

std::string Checkpoints::compare(int64_t step, const std::function<void()>& poll) const {
  const Found found = find(step);
  return found.fault.empty() ? files_.compare(path_of(step), found.hashes, poll) : found.fault;
}

/// By its manifest, as rank 0 finds it. Collective.
Checkpoints::Found Checkpoints::find(int64_t step) const {
  Communicator& world = model_.ranks().world();
  Found found;
  found.notes.step = step;
  std::string text;
  collectively(world, [&] {
    if (world.rank() != 0) return;
    if (const std::filesystem::path path = path_of(step) / kManifest; file_exists(path)) text = read_text_file(path);
  });
  text = world.broadcast_string(text, 0);
  const std::string subject = (path_of(found.notes.step) / kManifest).native();
  if (text.empty()) {
    found.fault = fmt::format("{} is missing", subject);
    return found;
  }
  collectively(world, [&] {
    try {
      parse(text, subject, found);
    } catch (const Error& error) {
      if (error.code() != ExitCode::input) throw;  // another run's is whole
      found.fault = error.what();
    }
  });
  return found;
}

void Checkpoints::parse(const std::string& text, const std::string& subject, Found& found) const {
  const Json manifest = parse_json(text, subject);
  require_int(manifest, "format", subject, kFormat, kFormat);
  if (const std::string run = require_string(manifest, "run", subject); run != identity_)
    fail(ExitCode::mismatch, "{}: of another run: expected {}, found {}", subject, identity_, run);
  require_int(manifest, "step", subject, found.notes.step, found.notes.step);
  found.notes.best_step = require_int(manifest, "best_step", subject, 0, found.notes.step);
  found.notes.best_loss = number_or_zero(manifest, "best_loss");
  found.notes.tokens_per_expert = require_int_array(manifest, "tokens_per_expert", subject);
  found.notes.targets = require_int(manifest, "targets", subject, 0, INT64_MAX);
  found.notes.routing = {numbers_of(manifest, "expert_gates"), numbers_of(manifest, "expert_choices")};
  for (const Json& file : manifest.value("files", Json::array()))
    found.hashes.push_back(require_string(file, "xxh3_128", subject));
  if (found.hashes.size() != files_.files().size())
    fail(ExitCode::input, "{}: field \"files\": expected {}, found {}", subject, files_.files().size(),
         found.hashes.size());
}

void Checkpoints::save(const CheckpointNotes& notes, const std::function<void()>& may_publish,
                       const std::function<void()>& poll) {
  Communicator& world = model_.ranks().world();
  std::optional<TemporaryFolder> folder;  // rank 0
  std::string name;
  collectively(world, [&] {
    if (world.rank() != 0) return;
    make_directories(folder_);
    name = folder.emplace(path_of(notes.step)).path().native();
  });
  const std::filesystem::path temporary = world.broadcast_string(name, 0);
  const std::vector<std::string> hashes = files_.write(temporary, poll);
  collectively(world, [&] {
    if (world.rank() != 0) return;
    write_file_atomically(temporary / kManifest, manifest_of(notes, identity_, files_, hashes).dump(1) + "\n");
    may_publish();
    folder->publish();
  });
}

void Checkpoints::prune(const CheckpointNotes& now, int64_t save_steps, int64_t limit) const {
  std::vector<int64_t> steps = steps_present();
  std::erase(steps, now.step);
  std::erase(steps, now.best_step);
  std::error_code ignored;  // one that cannot be removed does no harm
  int64_t kept = 1;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const bool regular = save_steps > 0 && *step % save_steps == 0;
    if (regular && (limit == 0 || kept < limit))
      ++kept;
    else
      std::filesystem::remove_all(path_of(*step), ignored);
  }
}

}  // namespace switchyard
