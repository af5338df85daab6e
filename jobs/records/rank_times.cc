#include "jobs/records/rank_times.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>

#include "base/cpu_model.h"
#include "base/thread_pool.h"
#include "comm/mpi_communicator.h"
#include "jobs/records/provenance.h"
#include "run/lease.h"

namespace switchyard {
namespace {

Json to_json(const RankRecord& record) {
  const RankSeconds& s = record.seconds;
  Json layers = Json::array();
  for (const LayerSeconds& layer : record.layers)
    layers.push_back({layer.all - layer.wait - layer.transfer, layer.wait, layer.transfer});
  return {{"host", LeaseHolder::self().host},
          {"cores", affinity_text()},
          {"cpu", cpu_model()},
          {"memory_bytes", peak_resident_bytes()},
          {"tokens", record.tokens},
          {"assignments", record.assignments},
          {"remote_assignments", record.remote_assignments},
          {"load", s.load},
          {"work", s.work},
          {"finish", s.finish},
          {"useful", s.useful},
          {"exchange_wait", s.exchange_wait},
          {"exchange_transfer", s.exchange_transfer},
          {"waiting", s.waiting},
          {"collectives", s.collectives},
          {"overhead", s.overhead},
          {"layers", std::move(layers)},
          {"bytes_to", record.bytes_to}};
}

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

std::vector<LayerSeconds> layer_seconds(std::span<const double> all, std::span<const ExchangeTimes> exchange) {
  std::vector<LayerSeconds> layers;
  for (size_t i = 0; i < all.size(); ++i) layers.push_back({all[i], exchange[i].wait, exchange[i].transfer});
  return layers;
}

int64_t peak_resident_bytes() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

Json gather_rank_records(Communicator& world, const RankRecord& mine, const RankLayout& layout) {
  std::vector<int64_t> experts = mine.tokens_per_expert;
  world.all_reduce({experts.data(), {std::ssize(experts)}, DType::i64}, ReduceOp::sum);
  const std::string text = to_text(to_json(mine));
  const auto all = world.gather_bytes(bytes_of(text), 0);
  if (world.rank() != 0) return {};
  Json ranks = Json::array();
  for (const auto& bytes : all)
    ranks.push_back(
        parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, "a rank's record of its time"));
  Json by_layer = Json::array();
  for (size_t first = 0; first < experts.size(); first += static_cast<size_t>(layout.num_experts))
    by_layer.push_back(std::vector(&experts[first], &experts[first] + layout.num_experts));
  Json record = provenance(layout.job);
  record.update({{"mpi", mpi_library_version()},
                 {"device", layout.device},
                 {"exchange", layout.exchange},
                 {"numerics", layout.numerics},
                 {"ep", layout.ep},
                 {"threads", layout.threads},
                 {"tokens_per_expert", std::move(by_layer)},
                 {"ranks", std::move(ranks)}});
  if (!layout.predicted.is_null()) record["predicted"] = layout.predicted;
  return record;
}

}  // namespace switchyard
