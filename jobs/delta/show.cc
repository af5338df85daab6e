// What deltas say: of one (info), of two (diff).
#include <algorithm>
#include <cctype>
#include <iostream>
#include <map>

#include "base/text.h"
#include "io/delta_file.h"
#include "io/json.h"
#include "jobs/delta/actions.h"
#include "model/delta/delta_diff.h"

namespace switchyard {
namespace {

/// A tensor's name with N for every number between dots: what tensors of all layers and experts have in common.
std::string kind_of(std::string_view name) {
  std::string kind;
  for (size_t first = 0; first <= name.size();) {
    const size_t end = std::min(name.find('.', first), name.size());
    const std::string_view word = name.substr(first, end - first);
    const bool is_number = !word.empty() && std::ranges::all_of(word, [](unsigned char c) { return std::isdigit(c); });
    kind.append(first == 0 ? "" : ".").append(is_number ? "N" : word);
    first = end + 1;
  }
  return kind;
}

struct KindCounts {
  uint64_t tensors = 0, changed = 0, masters = 0, bytes = 0;
};

std::map<std::string, KindCounts> kinds_of(const DeltaFile& delta) {
  std::map<std::string, KindCounts> kinds;
  for (const auto& [name, tensor] : delta.tensors()) {
    KindCounts& kind = kinds[kind_of(name)];
    ++kind.tensors;
    for (const auto& [values, count] :
         {std::pair(tensor.changed.get(), &kind.changed), {tensor.masters.get(), &kind.masters}}) {
      if (values == nullptr) continue;
      *count += values->count();
      kind.bytes += values->stored_bytes();
    }
  }
  return kinds;
}

/// Fields of its metadata that a delta may lack.
Json optional_number(const DeltaFile& delta, const char* name) {
  const auto value = delta.number(name);
  return value ? Json(*value) : Json();
}

Json to_json(const DeltaFile& delta) {
  namespace field = delta_field;
  Json json{{"file", path_to_json(delta.path())}, {"base", delta.base()}, {"result", delta.result()}};
  for (const char* name : {field::kBaseName, field::kResultName, field::kVersion})
    if (const std::string* text = delta.find_field(name)) json[name] = *text;
  json["elements"] = *delta.number(field::kElements);
  json["trained"] = optional_number(delta, field::kTrained);
  json["changed"] = delta.num_changed();
  json["vanished"] = optional_number(delta, field::kVanished);
  json["masters"] = delta.num_masters();
  json["bytes"] = delta.bytes();
  json["model_bytes"] = *delta.number(field::kBytes);
  json["kinds"] = Json::object();
  for (const auto& [name, kind] : kinds_of(delta))
    json["kinds"][name] = {
        {"tensors", kind.tensors}, {"changed", kind.changed}, {"masters", kind.masters}, {"bytes", kind.bytes}};
  return json;
}

void line(std::string_view name, const std::string& value) {
  std::cout << fmt::format("{:<12}{}\n", name, value);
}

void print(const DeltaFile& delta) {
  namespace field = delta_field;
  const auto named = [&](const std::string& hash, const char* name) {
    const std::string* text = delta.find_field(name);
    return text == nullptr ? hash : fmt::format("{} ({})", hash, *text);
  };
  const uint64_t model_bytes = *delta.number(field::kBytes);
  line("delta", delta.path().native());
  line("base", named(delta.base(), field::kBaseName));
  line("result", named(delta.result(), field::kResultName));
  line("elements", fmt::format("{}", *delta.number(field::kElements)));
  if (const auto trained = delta.number(field::kTrained)) line("trained", fmt::format("{}", *trained));
  line("changed", fmt::format("{}", delta.num_changed()));
  if (const auto vanished = delta.number(field::kVanished)) line("vanished", fmt::format("{} in rounding", *vanished));
  if (delta.master() != nullptr) line("kept in f32", fmt::format("{}", delta.num_masters()));
  line("size", fmt::format("{}, {:.1f} % of the model's {}", bytes_text(delta.bytes()),
                           100.0 * static_cast<double>(delta.bytes()) / static_cast<double>(model_bytes),
                           bytes_text(model_bytes)));
  for (const auto& [name, kind] : kinds_of(delta))
    std::cout << fmt::format("  {:>14} changed in {:>6} × {}\n", kind.changed, kind.tensors, name);
}

Json to_json(const DeltaOverlap& overlap) {
  return {{"only_first", overlap.only_first},
          {"only_second", overlap.only_second},
          {"alike", overlap.alike},
          {"otherwise", overlap.otherwise}};
}

}  // namespace

void show_delta(const DeltaOptions& options, std::span<const std::string> operands, const std::function<void()>& poll) {
  Json all = Json::array();
  for (const std::string& path : operands) {
    const DeltaFile delta(path);
    delta.check();
    poll();
    if (options.json)
      all.push_back(to_json(delta));
    else
      print(delta);
  }
  if (options.json) std::cout << to_text(all.size() == 1 ? all.front() : all, 2) << '\n';
}

void diff_deltas(const DeltaOptions& options, std::span<const std::string> operands, const std::function<void()>&) {
  const DeltaFile first(operands[0]), second(operands[1]);
  const DeltaDifference difference = compare_deltas(first, second);
  if (options.json) {
    Json json{{"successive", difference.successive}, {"all", to_json(difference.all)}, {"tensors", Json::object()}};
    for (const auto& [name, overlap] : difference.tensors) json["tensors"][name] = to_json(overlap);
    std::cout << to_text(json, 2) << '\n';
    return;
  }
  std::cout << (difference.successive ? "one follows the other; alike: taken back\n" : "of one base\n")
            << fmt::format("{:>14} {:>14} {:>14} {:>14}\n", "first alone", "second alone", "both alike",
                           "both otherwise");
  const auto row = [](const DeltaOverlap& o, std::string_view name) {
    std::cout << fmt::format("{:>14} {:>14} {:>14} {:>14}  {}\n", o.only_first, o.only_second, o.alike, o.otherwise,
                             name);
  };
  for (const auto& [name, overlap] : difference.tensors) row(overlap, name);
  row(difference.all, "all");
}

}  // namespace switchyard
