#include <fcntl.h>

#include <algorithm>
#include <optional>

#include "base/stopwatch.h"
#include "comm/collectively.h"
#include "io/temporary_file.h"
#include "model/engine.h"
#include "model/export/model_writer.h"
#include "model/random_model.h"
#include "plan/calibration_models.h"
#include "plan/calibration_parts.h"
#include "plan/works.h"
#include "train/checkpoints/checkpoints.h"

namespace switchyard {
namespace {

/// Files as they are committed, of several sizes.
void time_commits(const std::filesystem::path& folder, Rates& rates) {
  for (const size_t bytes : {size_t{1} << 14, size_t{1} << 20, size_t{1} << 24, size_t{1} << 29}) {
    const std::string content(bytes, 'x');
    for (int i = 0; i < kCalibrationRepetitions; ++i) {
      double seconds = 0;
      {
        const Stopwatch stopwatch(seconds);
        write_file_atomically(folder / "committed", content);
      }
      rates.add(work_of_commit(static_cast<double>(bytes)), seconds);
    }
  }
}

/// Some 200 MB in bf16.
void write_stored_model(const std::filesystem::path& folder) {
  const Json config{{"model_type", "qwen3_moe"},
                    {"architectures", {"Qwen3MoeForCausalLM"}},
                    {"vocab_size", 16384},
                    {"hidden_size", 768},
                    {"intermediate_size", 768},
                    {"moe_intermediate_size", 512},
                    {"num_hidden_layers", 2},
                    {"num_attention_heads", 12},
                    {"num_key_value_heads", 4},
                    {"head_dim", 64},
                    {"num_experts", 32},
                    {"num_experts_per_tok", 4},
                    {"rms_norm_eps", 1e-6},
                    {"rope_theta", 1e4},
                    {"max_position_embeddings", 4096},
                    {"tie_word_embeddings", false},
                    {"hidden_act", "silu"}};
  const std::filesystem::path file = folder / "config.json";
  write_file_atomically(file, to_text(config));
  write_model(folder / "model", file, plan_export(read_model_config(file), file, ExportDType::bf16),
              [](const ParameterRows& rows, std::span<float> out) { random_parameters({}, rows, out); });
}

/// Has the system forget a directory's files as far as it will, so that they are read from where they are.
void forget_pages(const std::filesystem::path& directory) {
  for (const std::filesystem::path& path : list_directory(directory)) {
    const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (file.get() >= 0) ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED);
  }
}

/// Every rank's own, at once. Collective.
void time_checkpoint(Communicator& world, const CalibrationRequest& request, const std::filesystem::path& folder,
                     Rates& rates) {
  const std::unique_ptr<Communicator> self = make_self_communicator();
  const DType operand = request.operands.front();
  std::optional<Trainer> trainer;
  std::optional<Checkpoints> checkpoints;
  collectively(world, [&] {
    TrainerOptions options;
    options.shape = training_shape(request, operand, 1, kCalibratedSlices);
    // A GiB or so a host.
    trainer.emplace(*self, calibration_model(512, std::clamp(64 / request.ranks_on_host, 8, 64)), options);
    trainer->initialise({});
    checkpoints.emplace(folder / fmt::format("rank-{}", world.rank()), trainer->model(), "calibration");
  });
  for (int64_t i = 1; i <= kCalibrationRepetitions; ++i) {
    world.barrier();
    double seconds = 0;
    collectively(world, [&] {
      const Stopwatch stopwatch(seconds);
      checkpoints->save(
          {.step = i}, [] {}, [] {});
    });
    rates.add(work_of_checkpoint(static_cast<double>(checkpoints->bytes_each())), seconds);
  }
}

}  // namespace

void time_files(Communicator& world, const CalibrationRequest& request, Rates& rates) {
  const bool on_root = world.rank() == 0;
  std::optional<TemporaryFolder> temporary;
  collectively(world, [&] {
    if (on_root) temporary.emplace(request.directory / "calibration");
  });
  const std::filesystem::path folder = world.broadcast_string(on_root ? temporary->path().native() : "", 0);
  collectively(world, [&] {
    if (!on_root) return;
    time_commits(folder, rates);
    write_stored_model(folder);
  });
  const std::filesystem::path model = folder / "model";
  const ModelConfig config = read_model_config(model);
  const DecoderLimits limits{.max_tokens = 1, .max_record = 1};
  for (const DType operand : request.operands) {
    const auto forget = [&] { collectively(world, [&] { forget_pages(model); }); };
    forget();
    double seconds = 0;
    uint64_t bytes = 0;
    collectively(world, [&] {
      const std::unique_ptr<Communicator> self = make_self_communicator();
      const Stopwatch stopwatch(seconds);
      const Engine engine(
          config, checkpoint_weights(model),
          {operand, request.threads, limits, kCalibratedExchangeBytes, request.device.device, request.device.index},
          *self);
      bytes = engine.bytes_read();
    });
    rates.add(work_of_load(operand, static_cast<double>(bytes), false), seconds);
    if (!request.training) continue;
    forget();
    seconds = 0;
    collectively(world, [&] {
      const std::unique_ptr<Communicator> self = make_self_communicator();
      const Stopwatch stopwatch(seconds);
      TrainerOptions options;
      options.shape = training_shape(request, operand, 1, kCalibratedSlices);
      Trainer(*self, config, options).load(model);
    });
    rates.add(work_of_load(operand, static_cast<double>(bytes), true), seconds);
  }
  if (request.training) time_checkpoint(world, request, folder, rates);
  world.barrier();  // nobody needs the files any more
}

}  // namespace switchyard
