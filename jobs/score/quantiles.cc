#include "jobs/score/quantiles.h"

#include <algorithm>

#include "base/error.h"

namespace switchyard {

std::vector<double> parse_levels(std::string_view written) {
  constexpr size_t kMost = 64;
  std::vector<double> levels;
  if (written.empty()) return levels;
  for (size_t at = 0; at <= written.size();) {
    const size_t end = std::min(written.find(',', at), written.size());
    const double level = parse_number(written.substr(at, end - at)).value_or(0);
    const bool rises = levels.empty() || level > levels.back();
    if (level <= 0 || level >= 1 || !rises || levels.size() == kMost)
      fail(ExitCode::usage, "--quantiles {}: expected at most {} rising numbers between 0 and 1, commas between them",
           written, kMost);
    levels.push_back(level);
    at = end + 1;
  }
  return levels;
}

std::string levels_text(std::span<const double> levels) {
  return fmt::format("{}", fmt::join(levels, ","));
}

Bins bins_of(const ScoringInput& input, int64_t vocab_size) {
  const std::string kind = input.tokenizer() ? input.tokenizer()->kind : "none that it names";
  const std::optional<Bins> bins = Bins::parse(kind);
  if (!bins)
    fail(ExitCode::usage, "--quantiles: expected numbers (tokens of bins:COUNT:LOW:HIGH), but those of {} are {}'s",
         input.path().native(), kind);
  if (bins->count > vocab_size)
    fail(ExitCode::usage, "--quantiles: {} has tokens of {} bins, the model {}", input.path().native(), bins->count,
         vocab_size);
  return *bins;
}

}  // namespace switchyard
