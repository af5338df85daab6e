#include "jobs/input/input_checks.h"

#include "base/hash.h"
#include "base/log.h"
#include "io/json.h"
#include "io/seal.h"
#include "tokens/tokenizer.h"

namespace switchyard {

void check_tokenizer(const std::optional<TokenizerIdentity>& used, const std::string& whose, const std::string& model,
                     bool allow_other) {
  if (!used) return log::info("{} does not say which tokenizer made its tokens: they are taken for the model's", whose);
  const std::string file = tokenizer_file_in(model);
  if (file.empty())
    return log::info("model {} has no tokenizer files: the tokens of {} (tokenizer {}) are taken for its own", model,
                     whose, brief(used->kind));
  const std::string hash = hash_of_file(file).hex();
  if (hash == used->hash) return;
  const std::string difference =
      fmt::format("{}: its tokens were made by tokenizer {} (hash {}), but the model's is {} (hash {})", whose,
                  brief(used->kind), brief(used->hash), file, hash);
  if (!allow_other) fail(ExitCode::input, "{}; --allow-other-tokenizer takes them all the same", difference);
  log::warning("{}", difference);
}

void tell_of_other_datasets(const ScoringInput& input) {
  const std::vector<std::string> others = input.other_datasets();
  if (!others.empty())
    log::info("{}: datasets of no meaning here are ignored: {}", input.path().native(),
              brief(Json(fmt::format("{}", fmt::join(others, ", ")))));
}

}  // namespace switchyard
