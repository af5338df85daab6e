// What a transfer between ranks costs without a network: one rank sends to itself. The fixed cost of a transfer, and
// the rate of the copies behind it; several GPUs are measured with perf/comm/bench_exchange's arithmetic elsewhere.
#include "comm/nccl_communicator.h"
#include "comm/staged_communicator.h"
#include "measure.h"

namespace switchyard::bench {
namespace {

void measure(Bench& bench, Communicator& group, const std::string& kind, int64_t rows) {
  constexpr int64_t kDim = 2048;
  const OwnedTensor from = bench.random({rows, kDim}, DType::bf16, 1, 1);
  OwnedTensor to({rows, kDim}, DType::bf16, Device::cuda);
  const int64_t counts[] = {rows};
  const Timing timing = time_until_done(
      bench.stream(), [&] { group.start_all_to_all_v(bench.stream(), from.view(), counts, to.view(), counts).wait(); });
  bench.report_bytes("exchange", fmt::format("{}, one rank to itself, [{}, {}] bf16", kind, rows, kDim), timing,
                     2 * static_cast<double>(from.view().bytes()));
}

}  // namespace

void bench_exchange() {
  Bench bench;
  const auto staged = stage_through_host(make_self_communicator());
  const auto nccl = add_nccl(make_self_communicator(), 0);
  for (const int64_t rows : {16, 16'384}) {
    measure(bench, *staged, "staged", rows);
    measure(bench, *nccl, "NCCL", rows);
  }
}

}  // namespace switchyard::bench
