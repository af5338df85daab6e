#include "jobs/scale/point_record.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <sstream>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "io/json_field.h"
#include "io/seal.h"
#include "run/attempts.h"

namespace switchyard {
namespace {

RankTimes rank_times(const Json& rank, std::string_view subject) {
  const auto seconds = [&](const char* name) { return json_field<double>(rank, name, subject); };
  RankTimes times{.host = json_field<std::string>(rank, "host", subject),
                  .cores = json_field<std::string>(rank, "cores", subject),
                  .load = seconds("load"),
                  .work = seconds("work"),
                  .finish = seconds("finish"),
                  .useful = seconds("useful"),
                  .wait = seconds("exchange_wait") + seconds("waiting"),
                  .transfer = seconds("exchange_transfer"),
                  .overhead = seconds("overhead"),
                  .tokens = json_field<int64_t>(rank, "tokens", subject),
                  .assignments = json_field<int64_t>(rank, "assignments", subject),
                  .remote_assignments = json_field<int64_t>(rank, "remote_assignments", subject),
                  .memory_bytes = json_field<int64_t>(rank, "memory_bytes", subject),
                  .bytes_to = json_field<std::vector<int64_t>>(rank, "bytes_to", subject)};
  for (const auto& layer : json_field<std::vector<std::vector<double>>>(rank, "layers", subject)) {
    if (layer.size() != 3) fail(ExitCode::input, "{}: a layer of {} numbers, expected 3", subject, layer.size());
    times.layers.push_back({layer[0], layer[1], layer[2]});
  }
  return times;
}

double largest(const std::vector<RankTimes>& ranks, double RankTimes::*seconds) {
  return std::ranges::max(ranks, {}, seconds).*seconds;
}

}  // namespace

std::vector<double> waited_in_collectives(std::span<const double> seconds) {
  const double least = std::ranges::min(seconds);
  std::vector<double> waited;
  for (const double of_rank : seconds) waited.push_back(of_rank - least);
  return waited;
}

int64_t PointRecord::tokens() const {
  return std::accumulate(ranks.begin(), ranks.end(), int64_t{0},
                         [](int64_t sum, const RankTimes& rank) { return sum + rank.tokens; });
}

double PointRecord::work() const {
  return largest(ranks, &RankTimes::work);
}
double PointRecord::load() const {
  return largest(ranks, &RankTimes::load);
}
double PointRecord::finish() const {
  return largest(ranks, &RankTimes::finish);
}
double PointRecord::total() const {
  return std::ranges::max(ranks, {}, &RankTimes::total).total();
}

std::vector<std::string> PointRecord::hosts() const {
  std::vector<std::string> hosts;
  for (const RankTimes& rank : ranks)
    if (std::ranges::find(hosts, rank.host) == hosts.end()) hosts.push_back(rank.host);
  return hosts;
}

bool PointRecord::shares_cores() const {
  std::map<std::string, std::pair<int, std::set<std::string>>> by_host;  // threads, cores
  for (const RankTimes& rank : ranks) {
    auto& [count, cores] = by_host[rank.host];
    count += threads;
    std::istringstream words(rank.cores);
    for (std::string core; std::getline(words, core, ',');) cores.insert(core);
  }
  return std::ranges::any_of(
      by_host, [](const auto& host) { return host.second.first > static_cast<int>(host.second.second.size()); });
}

PointRecord parse_point_record(const Json& json, std::string_view subject) {
  const auto text = [&](const char* name) { return json_field<std::string>(json, name, subject); };
  PointRecord record{.job = text("job"),
                     .revision = text("git_revision"),
                     .mpi = text("mpi"),
                     .cpu = {},
                     .device = text("device"),
                     .exchange = text("exchange"),
                     .numerics = text("numerics"),
                     .ep = json_field<int>(json, "ep", subject),
                     .threads = json_field<int>(json, "threads", subject)};
  record.tokens_per_expert = json_field<std::vector<std::vector<int64_t>>>(json, "tokens_per_expert", subject);
  if (const Json* predicted = find_field(json, "predicted"); predicted != nullptr) {
    record.predicted_work = json_field<double>(*predicted, "work", subject);
    record.predicted_transfer = record.predicted_work * json_field<double>(*predicted, "exchange_share", subject);
    record.predicted_total = json_field<double>(*predicted, "seconds", subject);
  }
  const Json ranks = json_field<Json>(json, "ranks", subject);
  if (!ranks.is_array() || ranks.empty()) fail(ExitCode::input, "{}: expected \"ranks\", found none", subject);
  if (record.ep < 1 || std::ssize(ranks) % record.ep != 0)
    fail(ExitCode::input, "{}: {} ranks in groups of {}: expected groups of one size", subject, ranks.size(),
         record.ep);
  record.cpu = json_field<std::string>(ranks.front(), "cpu", subject);
  std::vector<double> collectives;
  for (const Json& rank : ranks) {
    record.ranks.push_back(rank_times(rank, subject));
    collectives.push_back(json_field<double>(rank, "collectives", subject));
  }
  const std::vector<double> waited = waited_in_collectives(collectives);
  for (size_t r = 0; r < waited.size(); ++r) {
    record.ranks[r].wait += waited[r];
    record.ranks[r].transfer += collectives[r] - waited[r];
  }
  return record;
}

std::string hash_of_results(const RunDirectory& run) {
  if (file_exists(run.results_path())) return hash_of_file(run.results_path()).hex();
  std::string hashes;
  std::set<std::filesystem::path> files;  // in order
  for (const auto& entry : std::filesystem::directory_iterator(run.root() / "model"))
    if (entry.path().extension() == ".safetensors") files.insert(entry.path());
  for (const auto& file : files) hashes += hash_of_file(file).hex();
  return hash_of(std::as_bytes(std::span(hashes))).hex();
}

PointRecord read_point_record(const RunDirectory& run) {
  const std::string subject = run.ranks_path().native();
  PointRecord record = parse_point_record(parse_json(read_text_file(run.ranks_path()), subject), subject);
  record.attempts = std::ssize(list_attempts(run));
  return record;
}

}  // namespace switchyard
