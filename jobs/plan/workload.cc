#include "jobs/plan/workload.h"

#include <fmt/format.h>

#include <cmath>
#include <map>

#include "base/number.h"
#include "jobs/options/config_file.h"

namespace switchyard {
namespace {

constexpr double kNights = 365, kMonths = 12;

double value_of(const ConfigLine& line, const std::string& subject) {
  const double value = number_in<double>(line.value).value_or(-1);
  if (!std::isfinite(value) || value < 0)
    fail(ExitCode::usage, "{}:{}: {} = {}: expected a number from 0 on", subject, line.number, line.name, line.value);
  return value;
}

/// Fails where there is a price, and something to be done, and nobody knows how much of it.
void require(bool known, const std::string& subject, std::string_view price, std::string_view missing) {
  if (!known) fail(ExitCode::usage, "{}: {} is a price without hours: expected {} beside it", subject, price, missing);
}

void check(const Workload& w, bool training, const std::string& subject) {
  const bool scores = w.tokens_per_night > 0, updates = w.updates_per_month > 0;
  if (!scores && !updates)
    fail(ExitCode::usage, "{}: expected tokens_per_night or updates_per_month, found neither", subject);
  if (w.node_hour_price) {
    require(training || !updates || w.update_node_hours > 0, subject, "node_hour_price",
            "update_node_hours, which `switchyard plan train` tells");
    require(!training || !scores || w.scoring_tokens_per_second > 0, subject, "node_hour_price",
            "scoring_tokens_per_second, which `switchyard plan score` tells");
  }
  if (w.gpu_hour_price) {
    require(!scores || w.gpu_tokens_per_second > 0, subject, "gpu_hour_price", "gpu_tokens_per_second");
    require(!updates || w.gpu_update_hours > 0, subject, "gpu_hour_price", "gpu_update_hours");
  }
  if (w.api_training_price_per_million_tokens)
    require(!updates || w.update_tokens > 0, subject, "api_training_price_per_million_tokens", "update_tokens");
}

}  // namespace

Workload read_workload(const std::filesystem::path& path, bool training) {
  const std::string& subject = path.native();
  Workload w;
  const std::map<std::string_view, std::variant<double*, std::optional<double>*>> numbers = {
      {"tokens_per_night", &w.tokens_per_night},
      {"updates_per_month", &w.updates_per_month},
      {"update_node_hours", &w.update_node_hours},
      {"update_tokens", &w.update_tokens},
      {"scoring_tokens_per_second", &w.scoring_tokens_per_second},
      {"node_hour_price", &w.node_hour_price},
      {"gpu_hour_price", &w.gpu_hour_price},
      {"gpu_tokens_per_second", &w.gpu_tokens_per_second},
      {"gpu_update_hours", &w.gpu_update_hours},
      {"api_price_per_million_tokens", &w.api_price_per_million_tokens},
      {"api_training_price_per_million_tokens", &w.api_training_price_per_million_tokens}};
  for (const ConfigLine& line : parse_config(read_config(subject, "--workload " + subject), subject)) {
    if (line.name == "currency") {
      w.currency = line.value;
      continue;
    }
    const auto found = numbers.find(line.name);
    if (found == numbers.end())
      fail(ExitCode::usage, "{}:{}: {} is nothing of a workload; see docs/planning.md", subject, line.number,
           line.name);
    const double value = value_of(line, subject);
    std::visit([&](auto* target) { *target = value; }, found->second);
  }
  check(w, training, subject);
  return w;
}

std::vector<CostRow> costs_of_year(const Workload& w, const Prediction& best, bool training) {
  const double tokens = w.tokens_per_night * kNights, updates = w.updates_per_month * kMonths;
  std::vector<CostRow> rows;
  const auto add = [&](std::string where, std::string what, double hours, double paid_tokens, double cost) {
    rows.push_back({std::move(where), std::move(what), hours, paid_tokens, cost});
  };
  if (w.node_hour_price) {
    if (tokens > 0 && (training ? w.scoring_tokens_per_second : best.tokens_per_second()) > 0) {
      const double rate = training ? w.scoring_tokens_per_second : best.tokens_per_second();
      const double loading = training ? 0 : kNights * (best.load + best.finish);
      const double hours = static_cast<double>(best.nodes) * (tokens / rate + loading) / 3600;
      add("own nodes", "scoring", hours, tokens, hours * *w.node_hour_price);
    }
    if (updates > 0) {
      const double hours = updates * (training ? best.node_hours() : w.update_node_hours);
      add("own nodes", "updates", hours, 0, hours * *w.node_hour_price);
    }
  }
  if (w.gpu_hour_price) {
    if (tokens > 0) {
      const double hours = tokens / w.gpu_tokens_per_second / 3600;
      add("rented GPUs", "scoring", hours, tokens, hours * *w.gpu_hour_price);
    }
    if (updates > 0)
      add("rented GPUs", "updates", updates * w.gpu_update_hours, 0, updates * w.gpu_update_hours * *w.gpu_hour_price);
  }
  if (w.api_price_per_million_tokens && tokens > 0)
    add("API", "scoring", 0, tokens, tokens / 1e6 * *w.api_price_per_million_tokens);
  if (w.api_training_price_per_million_tokens && updates > 0)
    add("API", "updates", 0, updates * w.update_tokens,
        updates * w.update_tokens / 1e6 * *w.api_training_price_per_million_tokens);
  return rows;
}

std::string costs_csv(const Workload& workload, std::span<const CostRow> rows) {
  std::string csv = "where,what,hours,tokens,cost,currency\n";
  for (const CostRow& row : rows)
    csv += fmt::format("{},{},{:.6g},{:.6g},{:.6g},{}\n", row.where, row.what, row.hours, row.tokens, row.cost,
                       workload.currency);
  return csv;
}

}  // namespace switchyard
