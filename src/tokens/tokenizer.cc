#include "tokens/tokenizer.h"

#include <filesystem>

#include "base/error.h"
#include "base/hash.h"
#include "io/file.h"
#include "io/foreign_file.h"
#include "tokens/bins.h"
#include "tokens/hf_tokenizer.h"
#include "tokens/unicode.h"

namespace switchyard {
namespace {

constexpr std::string_view kHuggingFace = "tokenizer.json";
constexpr std::string_view kTokenizerFiles[] = {kHuggingFace,  "tokenizer.model", "tiktoken.model",
                                                "tekken.json", "vocab.json",      "spiece.model"};
constexpr std::string_view kBytes = "bytes";

/// A byte is its own id, 0 to 255.
class Bytes : public Tokenizer {
 public:
  std::string kind() const override { return std::string(kBytes); }
  std::string name() const override { return kind(); }
  std::string hash() const override { return hash_of(std::as_bytes(std::span(kBytes))).hex(); }
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& /*options*/) const override {
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return 0;
  }
  bool streams() const override { return true; }
  std::string decode(std::span<const int32_t> ids) const override {
    std::string bytes;
    for (const int32_t id : ids) bytes += piece(id).value_or("");
    return unicode::replace_invalid_utf8(bytes);
  }
  std::optional<std::string> piece(int32_t id) const override {
    return id < 0 || id > 255 ? std::nullopt : std::optional(std::string(1, static_cast<char>(id)));
  }
  std::optional<int32_t> id_of(std::string_view token) const override {
    return token.size() == 1 ? std::optional(static_cast<int32_t>(static_cast<unsigned char>(token[0]))) : std::nullopt;
  }
  int64_t vocabulary_size() const override { return 256; }
};

}  // namespace

std::string tokenizer_file_in(const std::string& directory) {
  for (const std::string_view name : kTokenizerFiles)
    if (const auto path = std::filesystem::path(directory) / name; is_listed(path)) return path.native();
  return {};
}

bool is_built_in_tokenizer(const std::string& choice) {
  return choice == kBytes || Bins::parse(choice).has_value();
}

std::unique_ptr<const Tokenizer> open_tokenizer(const std::string& choice) {
  if (choice == kBytes) return std::make_unique<Bytes>();
  if (const std::optional<Bins> bins = Bins::parse(choice)) return std::make_unique<BinsTokenizer>(*bins);
  if (!file_exists(choice))
    fail(ExitCode::usage,
         "tokenizer {}: expected bytes, bins:COUNT:LOW:HIGH, a tokenizer.json or a directory that has one; there is "
         "no such file",
         choice);
  const bool is_directory = directory_exists(choice);
  const std::string file = is_directory ? tokenizer_file_in(choice) : choice;
  if (file.empty()) fail(ExitCode::usage, "tokenizer {}: the directory has no {}", choice, kHuggingFace);
  const bool other_name = is_directory && std::filesystem::path(file).filename() != kHuggingFace;
  const Content content = content_of(head_of(InputFile(file)));
  if (other_name || content != Content::json)
    fail(ExitCode::input, "{}: expected a {}, the only kind of tokenizer that is read, found {}", file, kHuggingFace,
         name_of(content));
  return HfTokenizer::load(file);
}

}  // namespace switchyard
