#include "tokens/framing.h"

#include <filesystem>

#include "base/error.h"
#include "base/number.h"
#include "io/file.h"
#include "io/json.h"

namespace switchyard {
namespace {

constexpr std::string_view kConfig = "tokenizer_config.json", kSpecialTokens = "special_tokens_map.json";
constexpr uint64_t kMaxConfigBytes = uint64_t{64} << 20;  // some list every token that was ever added

std::optional<int32_t> id_of_number(std::string_view text) {
  const std::optional<int32_t> id = number_in<int32_t>(text);
  return id.value_or(-1) >= 0 ? id : std::nullopt;
}

/// A file beside the tokenizer's; null: there is none.
Json read_beside(const Tokenizer& tokenizer, std::string_view name, std::string& path) {
  path = (std::filesystem::path(tokenizer.name()).parent_path() / name).native();
  if (is_built_in_tokenizer(tokenizer.name()) || !file_exists(path)) return {};
  Json json = parse_json(read_text_file(path, kMaxConfigBytes), path);
  if (!json.is_object()) fail(ExitCode::input, "{}: expected an object, found {}", path, brief(json));
  return json;
}

/// {"bos_token": "<s>"} or {"bos_token": {"content": "<s>", …}}
std::optional<std::string> token_named(const Json& json, std::string_view field, const std::string& path) {
  const Json* value = json.is_object() ? find_field(json, field) : nullptr;
  if (value == nullptr) return std::nullopt;
  return value->is_object() ? require_string(*value, "content", path) : require_string(json, field, path);
}

std::optional<bool> flag_of(const Json& json, std::string_view field, const std::string& path) {
  if (!json.is_object() || find_field(json, field) == nullptr) return std::nullopt;
  return require_bool(json, field, path);
}

std::string text_of(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  std::string text;
  for (const int32_t id : ids)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", id, brief(Json(tokenizer.piece(id).value_or("?"))));
  return text;
}

std::string describe(const Tokenizer& tokenizer, const TokenFrame& frame) {
  if (frame.before.empty() && frame.behind.empty()) return "nothing is put around a text";
  std::string text;
  if (!frame.before.empty()) text = fmt::format("{} before", text_of(tokenizer, frame.before));
  if (!frame.behind.empty())
    text += fmt::format("{}{} behind", text.empty() ? "" : " and ", text_of(tokenizer, frame.behind));
  return text + " every text";
}

TokenFrame frame_of_config(const EndTokens& ends, const Tokenizer& tokenizer) {
  TokenFrame frame;
  const auto add = [&](std::string_view what, const std::optional<bool>& wanted, const std::optional<int32_t>& token,
                       const std::string& name, std::vector<int32_t>& side) {
    if (!wanted.value_or(false)) return;
    if (!token)
      fail(ExitCode::input, "--bos config: {} beside {} says add_{}_token, but names no {}_token{}", kConfig,
           tokenizer.name(), what, what,
           name.empty() ? "" : fmt::format(" that it has: {} is no token of it", brief(Json(name))));
    side.push_back(*token);
  };
  add("bos", ends.add_bos, ends.bos, ends.unknown_bos, frame.before);
  add("eos", ends.add_eos, ends.eos, ends.unknown_eos, frame.behind);
  return frame;
}

}  // namespace

EndTokens read_end_tokens(const Tokenizer& tokenizer) {
  std::string path, other_path;
  const Json config = read_beside(tokenizer, kConfig, path), other = read_beside(tokenizer, kSpecialTokens, other_path);
  EndTokens ends{.add_bos = flag_of(config, "add_bos_token", path), .add_eos = flag_of(config, "add_eos_token", path)};
  const auto find = [&](std::string_view field, std::optional<int32_t>& id, std::string& unknown) {
    std::optional<std::string> token = token_named(config, field, path);
    if (!token) token = token_named(other, field, other_path);
    if (!token) return;
    id = tokenizer.id_of(*token);
    if (!id) unknown = *token;
  };
  find("bos_token", ends.bos, ends.unknown_bos);
  find("eos_token", ends.eos, ends.unknown_eos);
  return ends;
}

bool is_bos_choice(std::string_view bos) {
  return bos == "auto" || bos == "config" || bos == "none" || id_of_number(bos).has_value();
}

Framing choose_framing(std::string_view bos, const Tokenizer& tokenizer) {
  Framing framing;
  const EndTokens ends = read_end_tokens(tokenizer);
  std::string who;
  if (bos == "auto") {
    framing.of_text = tokenizer.frame();
    who = fmt::format("as {} says", tokenizer.name());
  } else if (bos == "config") {
    framing.of_text = frame_of_config(ends, tokenizer);
    who = ends.add_bos ? fmt::format("as {} beside {} says", kConfig, tokenizer.name())
                       : fmt::format("{} beside {} says no add_bos_token", kConfig, tokenizer.name());
  } else if (const auto id = id_of_number(bos)) {
    framing.of_text.before = framing.of_ids.before = {*id};
    who = "--bos";
  } else if (bos == "none") {
    who = "--bos none";
  } else {
    fail(ExitCode::usage, "--bos {}: expected auto, config, none or a token's id", bos);
  }
  framing.why = fmt::format("{} ({})", describe(tokenizer, framing.of_text), who);

  const TokenFrame own = tokenizer.frame();
  if (ends.bos || !own.before.empty()) {
    framing.empty_context = ends.bos ? *ends.bos : own.before.front();
    framing.why_empty_context = "BOS";
  } else if (ends.eos || !own.behind.empty()) {
    framing.empty_context = ends.eos ? *ends.eos : own.behind.back();
    framing.why_empty_context = "EOS";
  }
  if (framing.empty_context)
    framing.why_empty_context = fmt::format("the tokenizer's {}, {}", framing.why_empty_context,
                                            text_of(tokenizer, std::span(&*framing.empty_context, 1)));
  return framing;
}

}  // namespace switchyard
