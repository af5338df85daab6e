#include "jobs/input/input_checks.h"

#include "base/hash.h"
#include "base/log.h"
#include "io/json.h"
#include "io/seal.h"
#include "tokens/tokenizer.h"

namespace switchyard {
namespace {

/// Between the tokenizer that made tokens and the model's; empty where there is none, or the model has none.
std::string tokenizer_difference(const TokenizerIdentity& used, const std::string& whose, const std::string& model) {
  const std::string file = tokenizer_file_in(model);
  if (file.empty()) return {};
  const std::string hash = hash_of_file(file).hex();
  if (hash == used.hash) return {};
  return fmt::format("{}: its tokens were made by tokenizer {} (hash {}), but the model's is {} (hash {})", whose,
                     brief(used.kind), brief(used.hash), file, hash);
}

}  // namespace

void require_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose,
                       const std::string& model) {
  if (!used) return;
  if (const std::string difference = tokenizer_difference(*used, whose, model); !difference.empty())
    fail(ExitCode::input, "{}; --allow-other-tokenizer takes them all the same", difference);
}

void check_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose, const std::string& model,
                     bool allow_other) {
  if (!used) return log::info("{} does not say which tokenizer made its tokens: they are taken for the model's", whose);
  if (tokenizer_file_in(model).empty())
    return log::info("model {} has no tokenizer files: the tokens of {} (tokenizer {}) are taken for its own", model,
                     whose, brief(used->kind));
  if (!allow_other) return require_tokenizer(used, whose, model);
  if (const std::string difference = tokenizer_difference(*used, whose, model); !difference.empty())
    log::warning("{}", difference);
}

void tell_of_other_datasets(const ScoringInput& input) {
  const std::vector<std::string> others = input.other_datasets();
  if (!others.empty())
    log::info("{}: datasets of no meaning here are ignored: {}", input.path().native(),
              brief(Json(fmt::format("{}", fmt::join(others, ", ")))));
}

}  // namespace switchyard
