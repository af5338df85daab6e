#include "import/import_identity.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace switchyard {
namespace {

constexpr std::string_view kFormat = "1";

Hash128 hash_from_hex(const std::string& hex, const std::string& subject) {
  const std::optional<Hash128> hash = Hash128::parse(hex);
  if (!hash)
    fail(ExitCode::input, "{}: field \"hash\": expected 32 hexadecimal digits, found {}", subject, brief(Json(hex)));
  return *hash;
}

const Json& member(const Json& json, std::string_view name, Json::value_t type, const std::string& subject) {
  const Json* found = find_field(json, name);
  if (found == nullptr || found->type() != type)
    fail(ExitCode::input, "{}: field \"{}\" is missing or of another type", subject, name);
  return *found;
}

}  // namespace

Json ImportIdentity::json() const {
  Json json;
  json["format"] = kFormat;
  json["tokenizer"] = {{"kind", tokenizer.kind}, {"hash", tokenizer.hash}};
  json["rules"] = Json::object();
  for (const auto& [name, value] : rules) json["rules"][name] = path_to_json(value);
  json["sources"] = Json::array();
  for (const SourceIdentity& source : sources)
    json["sources"].push_back({{"path", path_to_json(source.path)},
                               {"name", source.name},
                               {"format", source.format},
                               {"bytes", source.bytes},
                               {"hash", source.hash.hex()}});
  return json;
}

ImportIdentity ImportIdentity::from_json(const Json& json, const std::string& subject) {
  if (const std::string format = require_string(json, "format", subject); format != kFormat)
    fail(ExitCode::input, "{}: field \"format\": expected {}, found {}", subject, kFormat, format);
  ImportIdentity identity;
  const Json& tokenizer = member(json, "tokenizer", Json::value_t::object, subject);
  identity.tokenizer = {require_string(tokenizer, "kind", subject), require_string(tokenizer, "hash", subject)};
  for (const auto& [name, value] : member(json, "rules", Json::value_t::object, subject).items())
    identity.rules[name] = require_path(member(json, "rules", Json::value_t::object, subject), name, subject);
  for (const Json& source : member(json, "sources", Json::value_t::array, subject))
    identity.sources.push_back({require_path(source, "path", subject), require_string(source, "name", subject),
                                require_string(source, "format", subject),
                                static_cast<uint64_t>(require_int(source, "bytes", subject, 0, INT64_MAX)),
                                hash_from_hex(require_string(source, "hash", subject), subject)});
  return identity;
}

ImportIdentity identify_import(const ImportRules& rules, const Tokenizer& tokenizer, const Framing& framing,
                               std::vector<SourceIdentity> identities) {
  const auto ids = [](const TokenFrame& frame) {
    return fmt::format("[{}] before and [{}] behind", fmt::join(frame.before, " "), fmt::join(frame.behind, " "));
  };
  ImportIdentity identity{{tokenizer.kind(), tokenizer.hash()}, std::move(identities), {}};
  identity.rules = {
      {"text-field", rules.fields.text},
      {"context-field", rules.fields.context},
      {"continuation-field", rules.fields.continuation},
      {"id-field", rules.fields.id},
      {"columns", fmt::format("{}", fmt::join(rules.columns, ","))},
      {"bos", fmt::format("{} a text, {} ids, [{}] as an empty context", ids(framing.of_text), ids(framing.of_ids),
                          framing.empty_context ? std::to_string(*framing.empty_context) : "")},
      {"special-tokens-in-text", rules.special_in_text ? "true" : "false"},
      {kMaxTokensRule, std::to_string(rules.max_tokens)},
      {"overlap", std::to_string(rules.overlap)},
      {"join", rules.join ? "true" : "false"},
      {"max-line-bytes", std::to_string(rules.max_line_bytes)},
      {"max-document-bytes", std::to_string(rules.max_document_bytes)}};
  return identity;
}

std::vector<SourceIdentity> identify_sources(const std::vector<SourceFile>& sources,
                                             const std::function<void()>& poll) {
  std::vector<SourceIdentity> identities;
  const std::vector<std::string> names = names_of(sources);
  std::string block(size_t{1} << 20, '\0');
  for (size_t i = 0; i < sources.size(); ++i) {
    ByteStream bytes(sources[i].path, poll);
    while (bytes.read(block) > 0) {
    }
    SourceIdentity& identity = identities.emplace_back(identity_of(sources[i].path, bytes));
    identity.name = names[i];
    identity.format = name_of(sources[i].format);
  }
  return identities;
}

std::string difference(const ImportIdentity& imported, const ImportIdentity& now) {
  if (imported.tokenizer.hash != now.tokenizer.hash)
    return fmt::format("tokenizer: it has {} (hash {}), this command {} (hash {})", imported.tokenizer.kind,
                       imported.tokenizer.hash, now.tokenizer.kind, now.tokenizer.hash);
  for (const auto& [name, value] : now.rules) {
    const auto found = imported.rules.find(name);
    const std::string there = found == imported.rules.end() ? "" : found->second;
    if (there != value) return fmt::format("--{}: it has \"{}\", this command \"{}\"", name, there, value);
  }
  if (imported.sources.size() != now.sources.size())
    return fmt::format("it has {} sources, this command {}", imported.sources.size(), now.sources.size());
  for (size_t i = 0; i < now.sources.size(); ++i) {
    const SourceIdentity &was = imported.sources[i], &is = now.sources[i];
    if (was.format != is.format)
      return fmt::format("source {}: it was read as {}, and would be as {} now", is.path, was.format, is.format);
    if (was.name != is.name)
      return fmt::format("source {}: in ids it is {}, and was {}", is.path, brief(is.name), brief(was.name));
    if (was.hash != is.hash || was.bytes != is.bytes)
      return fmt::format("source {}: its bytes are others than those of {} were ({} bytes then, {} now)", is.path,
                         was.path, was.bytes, is.bytes);
  }
  return {};
}

}  // namespace switchyard
