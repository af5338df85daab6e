#include "jobs/score/tokenizer_check.h"

#include <optional>

#include "base/hash.h"
#include "base/log.h"
#include "io/file.h"
#include "io/json.h"
#include "io/seal.h"

namespace switchyard {
namespace {

constexpr std::string_view kTokenizerFiles[] = {"tokenizer.json", "tokenizer.model", "tiktoken.model",
                                                "tekken.json",    "vocab.json",      "spiece.model"};

/// The first of them that the model has: the one that loaders take.
std::optional<std::filesystem::path> tokenizer_file(const std::filesystem::path& model) {
  for (const std::string_view name : kTokenizerFiles)
    if (is_listed(model / name)) return model / name;
  return std::nullopt;
}

}  // namespace

void check_tokenizer(const ScoringInput& input, const std::filesystem::path& model, bool allow_other) {
  const std::optional<TokenizerIdentity>& used = input.tokenizer();
  const auto file = tokenizer_file(model);
  const std::string name = input.path().native();
  if (!used)
    return log::info("input {} does not say which tokenizer made its tokens: they are taken for the model's", name);
  if (!file)
    return log::info("model {} has no tokenizer files: the tokens of {} (tokenizer {}) are taken for its own",
                     model.native(), name, brief(used->kind));
  const std::string hash = hash_of_file(*file).hex();
  if (hash == used->hash) return;
  const std::string difference =
      fmt::format("input {}: its tokens were made by tokenizer {} (hash {}), but the model's is {} (hash {})", name,
                  brief(used->kind), brief(used->hash), file->native(), hash);
  if (!allow_other) fail(ExitCode::input, "{}; --allow-other-tokenizer scores them all the same", difference);
  log::warning("{}", difference);
}

}  // namespace switchyard
