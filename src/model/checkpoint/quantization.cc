#include "model/checkpoint/quantization.h"

#include <algorithm>

#include "io/foreign_file.h"
#include "model/checkpoint/weight_format.h"

namespace switchyard {
namespace {

// By ModelOpt, AutoGPTQ and GPTQModel, AutoAWQ, msModelSlim.
constexpr std::string_view kFiles[] = {"hf_quant_config.json", "quantize_config.json", "quant_config.json",
                                       "quant_model_description.json"};

constexpr std::string_view kMethods[] = {"quant_method", "quant_algo", "quant_type", "model_quant_type", "format"};
constexpr std::string_view kBits[] = {"bits", "w_bit", "num_bits"};

bool is_none(const Json& value) {
  if (value.is_structured()) return std::all_of(value.begin(), value.end(), is_none);
  return value.is_null() || value == false || value == "NO_QUANT" || value == "none";
}

}  // namespace

bool tells_storage(std::string_view field) {
  return field.find("quant") != field.npos || field.find("compression") != field.npos || field == "sparsity_config";
}

std::string quantization_of(const Json& description) {
  if (is_none(description)) return {};
  if (!description.is_object()) return brief(description);
  if (const Json* inner = find_field(description, "quantization")) return quantization_of(*inner);  // ModelOpt
  if (const auto algorithm = description.find("quant_algo"); algorithm != description.end() && is_none(*algorithm))
    return {};  // it may still say how to keep keys and values at run time
  std::vector<std::string> words;
  for (const std::string_view name : kMethods)
    if (const Json* method = find_field(description, name); method != nullptr && method->is_string())
      words.push_back(method->get<std::string>());
  for (const std::string_view name : kBits)
    if (const Json* bits = find_field(description, name); bits != nullptr && bits->is_number())
      words.push_back(fmt::format("{} bits", bits->dump()));
  return words.empty() ? brief(description) : fmt::format("{}", fmt::join(words, ", "));
}

std::string read_quantization(const Json& description, QuantisedWeights& weights) {
  const std::string says = quantization_of(description);
  const Json* method = find_field(description, "quant_method");
  const WeightFormat* format =
      method != nullptr && method->is_string() ? find_weight_format(method->get<std::string>()) : nullptr;
  if (format == nullptr) return says;
  weights.method = format->method;
  const std::string problem = format->read(description, weights);
  return problem.empty() ? "" : fmt::format("{}: {}", says, problem);
}

std::vector<std::string> quantization_beside(const std::filesystem::path& directory) {
  constexpr uint64_t kMaxBytes = 64 << 20;  // some list every tensor
  std::vector<std::string> found;
  for (const std::string_view name : kFiles) {
    const auto path = directory / name;
    if (!is_listed(path)) continue;
    if (const std::string what = quantization_of(read_json_file(path, kMaxBytes)); !what.empty())
      found.push_back(fmt::format("{} says {}", name, what));
  }
  return found;
}

}  // namespace switchyard
