#include "tokens/tokenizer_file.h"

#include <utility>

#include "base/error.h"
#include "io/json_builder.h"
#include "tokens/component_fields.h"

namespace switchyard {
namespace {

/// The tokens of merges in the order of the file, one after the other.
struct MergeTexts {
  std::string texts;
  std::vector<std::pair<size_t, size_t>> ends;  ///< of the left and of the right token
  void add(std::string_view left, std::string_view right) {
    texts += left;
    const size_t middle = texts.size();
    texts += right;
    ends.emplace_back(middle, texts.size());
  }
};

/// Takes model.vocab and model.merges out of the document, which are nearly all of it.
class VocabularyReader final : public JsonBuilder {
 public:
  VocabularyReader(std::string_view text, TokenTable& tokens, MergeTexts& merges)
      : JsonBuilder(text),
        end_id_(std::min<size_t>(text.size(), std::numeric_limits<int32_t>::max())),
        tokens_(tokens),
        merges_(merges) {}

  bool null() override { return inside_ == Inside::document ? JsonBuilder::null() : wrong(); }
  bool boolean(bool value) override { return inside_ == Inside::document ? JsonBuilder::boolean(value) : wrong(); }
  bool number_integer(number_integer_t value) override {
    return inside_ == Inside::document ? JsonBuilder::number_integer(value) : wrong();
  }
  bool number_float(number_float_t value, const string_t& text) override {
    return inside_ == Inside::document ? JsonBuilder::number_float(value, text) : wrong();
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (inside_ == Inside::document) return JsonBuilder::number_unsigned(value);
    return inside_ == Inside::vocab ? add_token(value) : wrong();
  }
  bool string(string_t& value) override {
    switch (inside_) {
      case Inside::document:
        return JsonBuilder::string(value);
      case Inside::vocab:
        return wrong();
      case Inside::merges:
        return add_spaced_merge(value);
      case Inside::merge:
        return add_to_merge(value);
    }
    return false;
  }
  bool key(string_t& value) override {
    if (inside_ == Inside::document) {
      if (depth() == 1) in_model_ = value == "model";
      return JsonBuilder::key(value);
    }
    key_ = value;
    return true;
  }
  bool start_object(size_t size) override {
    if (inside_ != Inside::document) return wrong();
    if (!is_field("vocab")) return JsonBuilder::start_object(size);
    inside_ = Inside::vocab;
    return !std::exchange(has_vocab_, true) || refuse("duplicate key \"vocab\"");
  }
  bool start_array(size_t size) override {
    if (inside_ == Inside::merges) {
      inside_ = Inside::merge;
      parts_ = 0;
      return true;
    }
    if (inside_ != Inside::document) return wrong();
    if (!is_field("merges")) return JsonBuilder::start_array(size);
    inside_ = Inside::merges;
    return !std::exchange(has_merges_, true) || refuse("duplicate key \"merges\"");
  }
  bool end_object() override {
    if (inside_ == Inside::document) return JsonBuilder::end_object();
    inside_ = Inside::document;
    return true;
  }
  bool end_array() override {
    if (inside_ == Inside::document) return JsonBuilder::end_array();
    if (inside_ == Inside::merges) {
      inside_ = Inside::document;
      return true;
    }
    if (parts_ != 2) return wrong();
    inside_ = Inside::merges;
    return true;
  }

  bool has_vocab() const { return has_vocab_; }
  bool has_merges() const { return has_merges_; }

 private:
  enum class Inside { document, vocab, merges, merge };

  bool is_field(std::string_view field) const { return depth() == 2 && in_model_ && last_key() == field; }

  bool wrong() {
    if (inside_ == Inside::vocab)
      return refuse(fmt::format("model.vocab: {}: expected an integer of 0 or more", brief(Json(key_))));
    return refuse(
        fmt::format("model.merges[{}]: expected \"left right\" or [\"left\", \"right\"]", merges_.ends.size()));
  }

  bool add_token(uint64_t id) {
    // A file with fewer bytes than ids has gaps that are a mistake, or malice; memory is taken by the largest.
    if (id >= end_id_)
      return refuse(fmt::format("model.vocab: {}: id {} is too large for a file of this size", brief(Json(key_)), id));
    if (tokens_.add(key_, static_cast<int32_t>(id))) return true;
    return refuse(fmt::format("model.vocab: {}: this token or its id {} is there twice", brief(Json(key_)), id));
  }

  bool add_spaced_merge(std::string_view text) {
    if (text.starts_with("#version")) return true;  // the first line of older files
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) return wrong();
    merges_.add(text.substr(0, space), text.substr(space + 1));
    return true;
  }

  bool add_to_merge(std::string& text) {
    if (++parts_ > 2) return wrong();
    if (parts_ == 1)
      key_.swap(text);
    else
      merges_.add(key_, text);
    return true;
  }

  size_t end_id_;
  TokenTable& tokens_;
  MergeTexts& merges_;
  Inside inside_ = Inside::document;
  bool in_model_ = false, has_vocab_ = false, has_merges_ = false;
  std::string key_;  ///< of the vocabulary; of a merge the left token
  int parts_ = 0;
};

void resolve_merges(const MergeTexts& merges, BpeModel& model, const std::string& subject) {
  if (merges.ends.size() > Merge::kMostRanks)
    fail(ExitCode::input, "{}: model.merges: {}, but at most {} are supported", subject, merges.ends.size(),
         Merge::kMostRanks);
  size_t begin = 0;
  for (size_t rank = 0; rank < merges.ends.size(); ++rank) {
    const auto [middle, end] = merges.ends[rank];
    const auto id_of = [&](size_t from, size_t to) {
      const std::string_view text = std::string_view(merges.texts).substr(from, to - from);
      const int32_t id = model.tokens.find(text);
      if (id == TokenTable::kNone)
        fail(ExitCode::input, "{}: model.merges[{}]: {} is not in the vocabulary", subject, rank,
             brief(Json(std::string(text))));
      return id;
    };
    const int32_t left = id_of(begin, middle), right = id_of(middle, end);
    model.merges.add(left, right, {static_cast<uint32_t>(rank), id_of(begin, end)});
    begin = end;
  }
}

void require_absent_or_empty(ComponentFields& fields, std::string_view field) {
  const auto text = fields.text_if_any(field);
  if (text && !text->empty()) fields.refuse(field, "null or \"\" (no other is supported)");
}

void read_model_options(const Json& json, BpeModel& model, const std::string& subject) {
  ComponentFields fields(json, subject);
  if (const Json* type = fields.value("type"); type != nullptr && *type != "BPE") fields.refuse("type", "BPE");
  if (const Json* dropout = fields.value("dropout"); dropout != nullptr && *dropout != 0.0)
    fields.refuse("dropout", "null or 0 (ids would be random)");
  model.unk_token = fields.text_if_any("unk_token");
  model.fuse_unk = fields.flag_or("fuse_unk", false);
  model.byte_fallback = fields.flag_or("byte_fallback", false);
  model.ignore_merges = fields.flag_or("ignore_merges", false);
  require_absent_or_empty(fields, "continuing_subword_prefix");
  require_absent_or_empty(fields, "end_of_word_suffix");
  fields.done();
}

}  // namespace

TokenizerFile parse_tokenizer_file(std::string_view text, const std::string& subject) {
  TokenizerFile file;
  MergeTexts merges;
  VocabularyReader reader(text, file.model.tokens, merges);
  file.document = parse_json(text, subject, reader);
  const Json* model = find_field(file.document, "model");
  if (model == nullptr) fail(ExitCode::input, "{}: field \"model\" is missing: expected a tokenizer.json", subject);
  read_model_options(*model, file.model, subject + ": model");
  if (!reader.has_vocab()) fail(ExitCode::input, "{}: model: field \"vocab\" is missing (expected an object)", subject);
  if (!reader.has_merges())
    fail(ExitCode::input, "{}: model: field \"merges\" is missing (expected an array)", subject);
  resolve_merges(merges, file.model, subject);
  return file;
}

}  // namespace switchyard
