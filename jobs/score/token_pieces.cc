#include "jobs/score/token_pieces.h"

#include <filesystem>
#include <memory>
#include <vector>

#include "base/error.h"
#include "io/file.h"
#include "tokens/bins.h"
#include "tokens/tokenizer.h"

namespace switchyard {
namespace {

std::unique_ptr<const Tokenizer> find_tokenizer(const ScoringInput& input, const std::string& model,
                                                const std::string& choice) {
  constexpr const char* kBytes = "bytes";
  const auto says_all = [](const std::string& kind) { return kind == kBytes || Bins::parse(kind).has_value(); };
  const std::optional<TokenizerIdentity>& used = input.tokenizer();
  std::string found = choice;
  if (found.empty() && used && says_all(used->kind)) found = used->kind;
  if (found.empty() && file_exists(std::filesystem::path(model) / "tokenizer.json")) found = model;
  if (found.empty())
    fail(ExitCode::usage,
         "--with-text: there is no tokenizer to take texts from: model {} has no tokenizer.json, and input {} does not "
         "say that its tokens are bytes or bins (--tokenizer says what they are)",
         model, input.path().native());
  auto tokenizer = open_tokenizer(found);
  if (used && used->hash != tokenizer->hash())
    fail(ExitCode::usage,
         "--with-text: there is no tokenizer to take texts from: the tokens of input {} were made by {} (hash {}), not "
         "by {} (hash {})",
         input.path().native(), used->kind, used->hash, tokenizer->name(), tokenizer->hash());
  return tokenizer;
}

}  // namespace

int64_t TokenPieces::bytes() const {
  int64_t bytes = (count + 1) * static_cast<int64_t>(sizeof(int64_t));
  for (int32_t id = 0; id < count; ++id) bytes += std::ssize(of(id));
  return bytes;
}

TokenPieces find_token_pieces(const ScoringInput& input, const std::string& model, const std::string& tokenizer,
                              int64_t vocab_size) {
  const auto found = find_tokenizer(input, model, tokenizer);
  // Copies: they are a small part of what a tokenizer keeps in memory.
  const auto pieces = std::make_shared<std::vector<std::string>>(static_cast<size_t>(vocab_size));
  for (int64_t id = 0; id < vocab_size; ++id)
    (*pieces)[static_cast<size_t>(id)] = found->piece(static_cast<int32_t>(id)).value_or("");
  return {vocab_size, [pieces](int32_t id) { return pieces->at(static_cast<size_t>(id)); }};
}

}  // namespace switchyard
