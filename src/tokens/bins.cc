#include "tokens/bins.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/hash.h"
#include "base/number.h"
#include "io/json.h"

namespace switchyard {
namespace {

constexpr std::string_view kPrefix = "bins:";
constexpr int64_t kMostBins = int64_t{1} << 20;
constexpr std::string_view kBetween = " \t\r\n,";

}  // namespace

std::optional<double> parse_number(std::string_view text) {
  const std::optional<double> value = number_in<double>(text);
  return value && std::isfinite(*value) ? value : std::nullopt;
}

std::optional<Bins> Bins::parse(std::string_view text) {
  if (!text.starts_with(kPrefix)) return std::nullopt;
  std::vector<std::optional<double>> parts;
  for (std::string_view rest = text.substr(kPrefix.size());;) {
    const size_t end = std::min(rest.find(':'), rest.size());
    parts.push_back(parse_number(rest.substr(0, end)));
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  const bool complete = parts.size() == 3 && std::ranges::all_of(parts, [](const auto& p) { return p.has_value(); });
  if (!complete || *parts[0] != std::floor(*parts[0]) || *parts[0] < 2 || *parts[0] > static_cast<double>(kMostBins) ||
      *parts[1] >= *parts[2] || !std::isfinite(*parts[2] - *parts[1]))
    fail(ExitCode::usage, "{}: expected bins:COUNT:LOW:HIGH, 2 to {} bins between two numbers, the lower one first",
         text, kMostBins);
  return Bins{static_cast<int64_t>(*parts[0]), *parts[1], *parts[2]};
}

std::string Bins::name() const {
  return fmt::format("{}{}:{}:{}", kPrefix, count, low, high);
}

int32_t Bins::of(double value) const {
  const double bin = std::floor((value - low) * static_cast<double>(count) / (high - low));
  return static_cast<int32_t>(std::clamp(bin, 0.0, static_cast<double>(count - 1)));
}

double Bins::quantile(std::span<const double> mass, double level) const {
  double total = 0;
  for (const double m : mass) total += m;
  const double wanted = level * total;
  double below = 0;
  size_t last = 0;  // with a mass
  for (size_t i = 0; i < mass.size(); ++i) {
    if (mass[i] <= 0) continue;
    if (below + mass[i] >= wanted)
      return low + (static_cast<double>(i) + std::clamp((wanted - below) / mass[i], 0.0, 1.0)) * width();
    below += mass[i];
    last = i;
  }
  return low + static_cast<double>(last + 1) * width();  // what rounding left
}

std::string BinsTokenizer::hash() const {
  const std::string all = bins_.name();
  return hash_of(std::as_bytes(std::span(all))).hex();
}

int64_t BinsTokenizer::encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions&) const {
  for (size_t at = text.find_first_not_of(kBetween); at != text.npos; at = text.find_first_not_of(kBetween, at)) {
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view number = text.substr(at, end - at);
    const std::optional<double> value = parse_number(number);
    if (!value) fail(ExitCode::input, "expected numbers, found {}", brief(std::string(number)));
    ids.push_back(bins_.of(*value));
    at = end;
  }
  return 0;
}

std::string BinsTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) text += piece(id).value_or("");
  return text.empty() ? text : text.substr(1);
}

std::optional<std::string> BinsTokenizer::piece(int32_t id) const {
  if (id < 0 || id >= bins_.count) return std::nullopt;
  return fmt::format(" {:.6g}", bins_.middle(id));
}

std::optional<int32_t> BinsTokenizer::id_of(std::string_view token) const {
  const std::optional<double> value = parse_number(token);
  return value ? std::optional(bins_.of(*value)) : std::nullopt;
}

}  // namespace switchyard
