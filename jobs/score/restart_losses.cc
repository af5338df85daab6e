#include "jobs/score/restart_losses.h"

#include <string>
#include <string_view>
#include <unordered_map>

#include "io/file.h"
#include "io/json.h"

namespace switchyard {
namespace {

int64_t count_of(const Json& line, std::string_view field) {
  const Json* value = find_field(line, field);
  return value != nullptr && value->is_number_integer() ? value->get<int64_t>() : 0;
}

}  // namespace

RestartLosses restart_losses(const std::filesystem::path& metrics,
                             const std::function<int64_t(int64_t chunk)>& kept_records,
                             const std::function<void()>& poll) {
  std::unordered_map<int64_t, int64_t> computed;  // records by chunk
  std::ifstream file = open_lines(metrics);
  for (std::string text; std::getline(file, text);) {
    if (poll) poll();
    const Json line = parse_json_if_whole(text).value_or(Json());
    if (!line.is_object() || find_field(line, "chunk") == nullptr) continue;
    computed[count_of(line, "chunk")] += count_of(line, "records") + count_of(line, "rejects");
  }
  RestartLosses losses;
  for (const auto& [chunk, records] : computed) {
    const int64_t lost = records - kept_records(chunk);
    if (lost <= 0) continue;
    losses.records += lost;
    ++losses.chunks;
  }
  return losses;
}

}  // namespace switchyard
