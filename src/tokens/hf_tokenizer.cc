#include "tokens/hf_tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "tokens/component_fields.h"
#include "tokens/tokenizer_file.h"
#include "tokens/unicode.h"

namespace switchyard {

/// What a thread works on.
struct HfTokenizer::Scratch {
  std::vector<AddedTokens::Part> raw_parts, parts;
  NormalizerScratch normalizing;
  Pieces pieces;
  BpeScratch bpe;
};

std::unique_ptr<HfTokenizer> HfTokenizer::load(const std::filesystem::path& path) {
  return std::make_unique<HfTokenizer>(read_text_file(path), path.native());
}

HfTokenizer::HfTokenizer(std::string_view json, std::string name)
    : name_(std::move(name)), hash_(hash_of(std::as_bytes(std::span(json))).hex()) {
  TokenizerFile file = parse_tokenizer_file(json, name_);
  ComponentFields fields(file.document, name_);
  const auto component = [&](std::string_view field) {
    const Json* found = fields.value(field);
    return found == nullptr ? Json() : *found;
  };
  const auto place = [&](std::string_view field) { return fmt::format("{}: {}", name_, field); };
  if (const Json* version = fields.value("version"); version != nullptr && *version != "1.0")
    fields.refuse("version", "\"1.0\"");
  for (const std::string_view field : {"truncation", "padding"})
    if (fields.value(field) != nullptr) fields.refuse(field, "null (not supported)");
  fields.ignore("model");
  normalizer_ = Normalizer(component("normalizer"), place("normalizer"));
  pre_tokenizer_ = PreTokenizer(component("pre_tokenizer"), place("pre_tokenizer"), normalizer_.moves_start());
  const Json added = component("added_tokens");
  if (!added.is_null()) {
    fields.list("added_tokens");
    added_tokens_ = AddedTokens(added, file.model.tokens, normalizer_, place("added_tokens"));
  }
  post_processor_ = PostProcessor(component("post_processor"), place("post_processor"));
  decoder_ = Decoder(component("decoder"), place("decoder"));
  fields.done();
  file.model.byte_level = pre_tokenizer_.byte_level();
  bpe_ = std::make_unique<Bpe>(std::move(file.model));
}

int64_t HfTokenizer::encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options) const {
  if (const size_t valid = unicode::valid_utf8_prefix(text); valid != text.size())
    fail(ExitCode::input, "tokenizer {}: the text is not UTF-8 at byte {}", name_, valid);
  static thread_local Scratch scratch;
  int64_t left_as_text = 0;
  scratch.raw_parts.clear();
  added_tokens_.cut_raw(text, options.special_in_text, scratch.raw_parts, left_as_text);
  for (const AddedTokens::Part part : scratch.raw_parts) {
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encode_raw(text.substr(part.begin, part.end - part.begin), part.begin == 0, options, ids, left_as_text, scratch);
  }
  return left_as_text;
}

/// What lies between added tokens is normalized by itself: nothing composes with a token before it.
void HfTokenizer::encode_raw(std::string_view text, bool at_start, const EncodeOptions& options,
                             std::vector<int32_t>& ids, int64_t& left_as_text, Scratch& scratch) const {
  const std::string_view normalized = normalizer_.normalize(text, scratch.normalizing);
  if (!added_tokens_.any_normalized()) return encode_words(normalized, at_start, ids, scratch);
  scratch.parts.clear();
  added_tokens_.cut_normalized(normalized, options.special_in_text, scratch.parts, left_as_text);
  for (const AddedTokens::Part part : scratch.parts) {
    if (part.id >= 0)
      ids.push_back(part.id);
    else
      encode_words(normalized.substr(part.begin, part.end - part.begin), at_start && part.begin == 0, ids, scratch);
  }
}

void HfTokenizer::encode_words(std::string_view text, bool at_start, std::vector<int32_t>& ids,
                               Scratch& scratch) const {
  if (text.empty()) return;
  scratch.pieces.assign(text);
  pre_tokenizer_.split(scratch.pieces, at_start);
  for (const Pieces::Piece piece : scratch.pieces.pieces()) bpe_->encode(scratch.pieces.text(piece), ids, scratch.bpe);
}

std::string HfTokenizer::decode(std::span<const int32_t> ids) const {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int32_t id : ids) {
    const AddedToken* added = added_tokens_.find(id);
    if (added == nullptr && !bpe_->tokens().has(id)) continue;
    tokens.push_back(added != nullptr ? added_tokens_.spelling(*added) : std::string(bpe_->tokens().text(id)));
  }
  return decoder_.decode(std::move(tokens));
}

std::optional<std::string> HfTokenizer::piece(int32_t id) const {
  if (const AddedToken* added = added_tokens_.find(id)) return added->content;
  if (!bpe_->tokens().has(id)) return std::nullopt;
  return bpe_->byte_level() ? bpe_->bytes_of(id) : decoder_.bytes_of(std::string(bpe_->tokens().text(id)));
}

std::optional<int32_t> HfTokenizer::id_of(std::string_view token) const {
  if (const AddedToken* added = added_tokens_.find(token)) return added->id;
  const int32_t id = bpe_->tokens().find(token);
  return id == TokenTable::kNone ? std::nullopt : std::optional(id);
}

int64_t HfTokenizer::vocabulary_size() const {
  return std::max(bpe_->tokens().end_id(), added_tokens_.end_id());
}

}  // namespace switchyard
