#include "jobs/records/report_blocks.h"

#include <string_view>

namespace switchyard {

report::Definitions definitions(std::string title, const std::vector<std::string>& lines) {
  report::Definitions out{.title = std::move(title)};
  constexpr std::string_view kColon = ": ";
  for (const std::string& line : lines) {
    const size_t at = line.find(kColon);
    if (at == std::string::npos)
      out.entries.emplace_back("", line);
    else
      out.entries.emplace_back(line.substr(0, at), line.substr(at + kColon.size()));
  }
  return out;
}

report::HeatMap tokens_of_experts(int64_t layers, int64_t experts, std::span<const int64_t> tokens) {
  return {.title = "Tokens through each expert",
          .row_name = "layer",
          .column_name = "expert",
          .unit = report::kTokens,
          .rows = layers,
          .columns = experts,
          .values = {tokens.begin(), tokens.end()}};
}

}  // namespace switchyard
