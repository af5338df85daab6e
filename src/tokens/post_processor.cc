#include "tokens/post_processor.h"

#include "base/error.h"
#include "tokens/component_fields.h"

namespace switchyard {
namespace {

/// The ids of "special_tokens": {name: {"id": name, "ids": […], "tokens": […]}}.
std::vector<int32_t> special_ids(const Json& special, const std::string& name, const std::string& subject) {
  const Json* entry = find_field(special, name);
  if (entry == nullptr) fail(ExitCode::input, "{}: special_tokens has no {}", subject, brief(Json(name)));
  std::vector<int32_t> ids;
  for (const int64_t id : require_int_array(*entry, "ids", subject)) {
    if (!std::in_range<int32_t>(id) || id < 0) fail(ExitCode::input, "{}: special_tokens: {} is no id", subject, id);
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

}  // namespace

PostProcessor::PostProcessor(const Json& component, const std::string& subject) {
  if (!component.is_null()) add(component, subject);
}

void PostProcessor::add(const Json& component, const std::string& subject) {
  ComponentFields fields(component, subject);
  const size_t type = fields.one_of("type", {"ByteLevel", "TemplateProcessing", "Sequence"});
  if (type == 0) {  // trims offsets, and there are none here
    for (const std::string_view field : {"add_prefix_space", "trim_offsets", "use_regex"}) fields.ignore(field);
  } else if (type == 2) {
    for (size_t i = 0; const Json& part : fields.list("processors"))
      add(part, fmt::format("{}.processors[{}]", subject, i++));
  } else {
    if (has_template_) fields.refuse("type", "no second template");
    has_template_ = true;
    const Json* special = fields.value("special_tokens");
    int num_texts = 0;
    for (const Json& piece : fields.list("single")) {
      const Json* token = find_field(piece, "SpecialToken");
      const Json* sequence = find_field(piece, "Sequence");
      if ((token == nullptr) == (sequence == nullptr))
        fields.refuse("single", "pieces that are a SpecialToken or a Sequence");
      if (sequence != nullptr) {
        if (require_string(*sequence, "id", subject) != "A") fields.refuse("single", "the sequence A only");
        ++num_texts;
      } else {
        const auto ids =
            special_ids(special == nullptr ? Json::object() : *special, require_string(*token, "id", subject), subject);
        std::vector<int32_t>& side = num_texts == 0 ? frame_.before : frame_.behind;
        side.insert(side.end(), ids.begin(), ids.end());
      }
    }
    if (num_texts != 1) fields.refuse("single", "the sequence A once");
    fields.ignore("pair");
  }
  fields.done();
}

}  // namespace switchyard
