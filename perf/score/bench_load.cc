// Loading checkpoints of each stored format from the page cache, against what must happen at least: reading the stored
// bytes (pread) and writing the packed ones (memcpy).
//     bench_load DIRECTORY [GB]      (JSON lines; writes its checkpoints there, of 2 GB each, once)
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "base/rng.h"
#include "base/stopwatch.h"
#include "io/file.h"
#include "kernels/cpu_isa.h"
#include "model/checkpoint/loader.h"
#include "model/parameters.h"

namespace switchyard::bench {
namespace {

namespace fs = std::filesystem;

constexpr int kThreads = 2, kRounds = 5;

/// A model whose experts are most of it, in layers of 128.
Json config_of(std::string_view format, int64_t layers) {
  Json json = {{"vocab_size", 1000},          {"hidden_size", 1024},
               {"num_hidden_layers", layers}, {"num_attention_heads", 16},
               {"num_key_value_heads", 4},    {"head_dim", 64},
               {"intermediate_size", 512},    {"num_local_experts", 128},
               {"num_experts_per_tok", 4},    {"max_position_embeddings", 4096},
               {"rms_norm_eps", 1e-6},        {"rope_theta", 10000.0}};
  json["model_type"] = format == "mxfp4" ? "gpt_oss" : "qwen3_moe";
  if (format != "mxfp4") json["moe_intermediate_size"] = 512;
  if (format == "mxfp4") json["quantization_config"] = {{"quant_method", "mxfp4"}};
  if (format == "fp8") json["quantization_config"] = {{"quant_method", "fp8"}, {"weight_block_size", {128, 128}}};
  return json;
}

struct Stored {
  std::string name, dtype;
  std::vector<int64_t> shape;
  size_t element_bytes;
  uint8_t mask;  ///< of random bytes; what is left is a code, or a scale, that is a number
  uint8_t set;

  size_t bytes() const {
    return element_bytes *
           static_cast<size_t>(std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies{}));
  }
};

Stored bf16(const std::string& name, std::vector<int64_t> shape) {
  return {name, "BF16", std::move(shape), 2, 0xbc, 0};  // no exponent of ones
}

/// The tensors of a parameter.
void add_stored(const Parameter& p, std::string_view format, std::vector<Stored>& tensors) {
  std::vector<int64_t> shape;
  for (int axis = 0; axis < p.shape.rank(); ++axis) shape.push_back(p.shape[axis]);
  const bool coded = format == "fp8" && shape.size() == 2 && p.layer >= 0 && p.module != "gate";
  if (!coded) return tensors.push_back(bf16(p.name(), shape));
  tensors.push_back({p.name(), "F8_E4M3", shape, 1, 0xbf, 0});
  tensors.push_back(
      {p.name() + "_scale_inv", "F32", {num_blocks(shape[0], 128), num_blocks(shape[1], 128)}, 4, 0x3f, 0});
}

std::vector<Stored> tensors_of(const ModelConfig& c, std::string_view format) {
  std::vector<int> experts(static_cast<size_t>(c.num_experts()));
  std::iota(experts.begin(), experts.end(), 0);
  const bool fused = format == "mxfp4";
  std::vector<Stored> tensors;
  for_each_tensor(c, experts, nullptr, [&](const StoredTensor& tensor) {
    for (const Parameter& p : tensor.parameters())
      if (!fused || !tensor.of_expert()) add_stored(p, format, tensors);
  });
  const int64_t d = c.hidden_size, f = c.moe().expert_size, e = c.num_experts();
  for (int64_t l = 0; l < c.num_layers() && fused; ++l) {
    const std::string at = fmt::format("model.layers.{}.mlp.experts.", l);
    tensors.push_back({at + "gate_up_proj_blocks", "U8", {e, 2 * f, d / 32, 16}, 1, 0xff, 0});
    tensors.push_back({at + "gate_up_proj_scales", "U8", {e, 2 * f, d / 32}, 1, 0x07, 0x78});
    tensors.push_back({at + "down_proj_blocks", "U8", {e, d, f / 32, 16}, 1, 0xff, 0});
    tensors.push_back({at + "down_proj_scales", "U8", {e, d, f / 32}, 1, 0x07, 0x78});
    tensors.push_back(bf16(at + "gate_up_proj_bias", {e, 2 * f}));
    tensors.push_back(bf16(at + "down_proj_bias", {e, d}));
  }
  for (Stored& t : tensors)
    if (fused && t.name.find("mlp.gate.") != t.name.npos) t.name.replace(t.name.find("mlp.gate."), 9, "mlp.router.");
  return tensors;
}

void write(const fs::path& path, const std::vector<Stored>& tensors) {
  Json header = Json::object();
  size_t end = 0;
  for (const Stored& t : tensors) {
    header[t.name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {end, end + t.bytes()}}};
    end += t.bytes();
  }
  const std::string text = header.dump();
  const uint64_t length = text.size();
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), sizeof length);
  file << text;
  for (size_t i = 0; i < tensors.size(); ++i) {
    std::vector<char> bytes(tensors[i].bytes());
    for (size_t at = 0; at < bytes.size(); ++at) {
      const uint64_t word = random_bits(i, at / 8);
      bytes[at] = static_cast<char>((word >> at % 8 * 8 & tensors[i].mask) | tensors[i].set);
    }
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
}

size_t file_bytes(const fs::path& path) {
  return static_cast<size_t>(fs::file_size(path));
}

/// As many layers as make about that many bytes.
fs::path make_checkpoint(const fs::path& directory, const std::string& format, double bytes) {
  const fs::path model = directory / format;
  if (fs::exists(model / "config.json")) return model;
  make_directories(model);
  const auto size_of = [&](int64_t layers) {
    const auto tensors = tensors_of(parse_model_config(config_of(format, layers), format), format);
    return std::accumulate(tensors.begin(), tensors.end(), 0.0,
                           [](double sum, const Stored& t) { return sum + static_cast<double>(t.bytes()); });
  };
  const auto layers = std::max<int64_t>(1, static_cast<int64_t>(bytes / (size_of(2) - size_of(1))));
  const Json config = config_of(format, layers);
  write(model / "model.safetensors", tensors_of(parse_model_config(config, format), format));
  write_file_atomically(model / "config.json", config.dump(2));
  return model;
}

double seconds_of(const std::function<void()>& work) {
  const double start = seconds_now();
  work();
  return seconds_now() - start;
}

/// pread of all bytes of a file, by the threads, in pieces that stay in the cache.
void read_all(const fs::path& path, const Stream& stream) {
  constexpr size_t kPiece = 1 << 20;
  const size_t bytes = file_bytes(path);
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::vector<std::vector<char>> buffers(kThreads, std::vector<char>(kPiece));
  stream.parallel_for(static_cast<int64_t>((bytes + kPiece - 1) / kPiece), [&](int64_t piece, int worker) {
    if (pread(fd, buffers[static_cast<size_t>(worker)].data(), kPiece,
              static_cast<off_t>(piece * static_cast<int64_t>(kPiece))) < 0)
      fail(ExitCode::input, "{}: cannot be read", path.native());
  });
  close(fd);
}

/// As many bytes from the cache to memory that nobody has touched yet, as packed weights go.
void copy_bytes(size_t bytes, const Stream& stream) {
  constexpr size_t kPiece = 1 << 20;
  const std::vector<char> from(kPiece, 1);
  const std::unique_ptr<char[]> to(new char[bytes]);
  stream.parallel_for(static_cast<int64_t>(bytes / kPiece), [&](int64_t piece, int) {
    std::memcpy(to.get() + static_cast<size_t>(piece) * kPiece, from.data(), kPiece);
  });
}

void measure(const fs::path& directory, const std::string& format, double bytes, DType operand) {
  const fs::path model = make_checkpoint(directory, format, bytes), file = model / "model.safetensors";
  const ModelConfig config = read_model_config(model);
  const Checkpoint checkpoint(model);
  const TensorTable table(checkpoint, config, model.native());
  ThreadPool pool(kThreads);
  const Stream stream{Device::cpu, &pool};
  const ExpertPlacement all = ExpertPlacement::blocks(config.num_experts(), 1);
  const size_t packed = predict_weight_bytes(config, operand, config.num_experts(), kThreads).resident;
  double loading = 1e30, least = 1e30;
  for (int round = 0; round < kRounds; ++round) {
    least =
        std::min(least, seconds_of([&] { read_all(file, stream); }) + seconds_of([&] { copy_bytes(packed, stream); }));
    loading = std::min(loading, seconds_of([&] { load_model(stream, table, operand, all, 0); }));
  }
  const auto stored = static_cast<double>(file_bytes(file));
  fmt::print("{}\n", Json{{"format", format},
                          {"dtype", std::string(name_of(operand))},
                          {"stored_gb", stored * 1e-9},
                          {"packed_gb", static_cast<double>(packed) * 1e-9},
                          {"load_s", loading},
                          {"load_gb_per_s", stored * 1e-9 / loading},
                          {"pread_and_memcpy_s", least},
                          {"share", least / loading}}
                         .dump());
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  using namespace switchyard;
  if (argc < 2) return static_cast<int>(ExitCode::usage);
  set_cpu_isa("auto");
  const double bytes = (argc > 2 ? std::atof(argv[2]) : 2) * 1e9;
  for (const char* format : {"mxfp4", "fp8", "bf16"}) bench::measure(argv[1], format, bytes, DType::bf16);
}
