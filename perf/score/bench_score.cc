// The whole scoring job against what the machine can multiply, in one run, and its memory against the prediction.
// usage: bench_score WORK_DIRECTORY [dtype …] -- one JSON line per dtype and layout.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "ceiling.h"
#include "io/json.h"
#include "kernels/cpu_isa.h"
#include "model/memory_plan.h"
#include "perf/benchmark_main.h"
#include "perf/operations.h"
#include "perf_checkpoint.h"

namespace switchyard::bench {
namespace {

constexpr int kRecords = 48;
constexpr int64_t kLength = 1024;

struct Layout {
  int ranks, threads;
};

double flops_per_token(const ModelConfig& c) {
  return layer_operations(c) + attention_operations(c, kLength) + head_operations(c);
}

struct Child {
  int exit_code;
  long peak_kib;  ///< of the largest rank
};

Child run(const std::string& command) {
  rusage before{};
  ::getrusage(RUSAGE_CHILDREN, &before);
  const int status = std::system(command.c_str());
  rusage after{};
  ::getrusage(RUSAGE_CHILDREN, &after);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 1, after.ru_maxrss};
}

Json measure(const std::filesystem::path& work, const ModelConfig& config, const std::string& dtype, Layout layout) {
  ThreadPool pool(layout.ranks * layout.threads);
  const Stream stream{Device::cpu, &pool, {}};
  const DType operand = dtype == "bf16" ? DType::bf16 : DType::f32;
  const std::string name = fmt::format("{}-{}x{}", dtype, layout.ranks, layout.threads);
  std::filesystem::remove_all(work / name);
  const std::string mpi =
      layout.ranks == 1 ? "" : fmt::format("mpirun --oversubscribe --bind-to none -n {} ", layout.ranks);
  const std::string command =
      fmt::format("{}{} score --model {} --input {} --run {} --dtype {} --threads {} --ep {} >{}.json 2>{}.log", mpi,
                  SWITCHYARD_PROGRAM, (work / "model").string(), (work / "input.h5").string(), (work / name).string(),
                  dtype, layout.threads, layout.ranks, (work / name).string(), (work / name).string());

  double ceiling = ceiling_gflops(stream, operand);
  const Child child = run(command);
  ceiling = std::max(ceiling, ceiling_gflops(stream, operand));
  if (child.exit_code != 0) fail(ExitCode::internal, "{} ended with {}, see {}.log", command, child.exit_code, name);
  std::ifstream file(work / (name + ".json"));
  const Json result = parse_json(std::string(std::istreambuf_iterator<char>(file), {}), name);

  const MemoryPlan plan = plan_memory(config, {operand,
                                               ExpertPlacement::blocks(config.num_experts(), layout.ranks),
                                               layout.threads,
                                               {8192, kLength},
                                               int64_t{256} << 20});
  const double gflops = result["tokens_per_second"].get<double>() * flops_per_token(config) * 1e-9;
  Json line;
  line["benchmark"] = "score";
  line["dtype"] = dtype;
  line["cpu_isa"] = std::string(current_cpu_isa());
  line["ranks"] = layout.ranks;
  line["threads_per_rank"] = layout.threads;
  line["tokens"] = result["computed_tokens"];
  line["tokens_per_second"] = result["tokens_per_second"];
  line["gflops"] = gflops;
  line["ceiling_gflops"] = ceiling;
  line["share_of_ceiling"] = gflops / ceiling;
  line["exchange_share"] = result["exchange_share"];
  line["predicted_bytes_per_rank"] = plan.peak();
  // Of this program's children so far: meaningful where each is larger than those before.
  line["peak_bytes_of_a_rank_so_far"] = child.peak_kib * 1024;
  return line;
}

int main_with(const std::vector<std::string>& args) {
  if (args.empty()) fail(ExitCode::usage, "usage: bench_score WORK_DIRECTORY [dtype …]");
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 0);
  ::setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 0);
  const std::filesystem::path work = std::filesystem::absolute(args[0]);
  if (!std::filesystem::exists(work / "model/config.json")) write_perf_checkpoint(work / "model");
  write_perf_input(work / "input.h5", kRecords);
  const ModelConfig config = read_model_config(work / "model");
  std::vector<std::string> dtypes(args.begin() + 1, args.end());
  if (dtypes.empty())
    dtypes = has_native_bf16() ? std::vector<std::string>{"bf16", "f32"} : std::vector<std::string>{"f32"};
  const int cores = available_cores();
  for (const std::string& dtype : dtypes)
    for (const Layout layout : {Layout{1, cores}, Layout{cores, 1}})
      std::cout << measure(work, config, dtype, layout).dump() << std::endl;
  return 0;
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  return switchyard::bench::run_benchmark("bench_score", argc, argv, switchyard::bench::main_with);
}
