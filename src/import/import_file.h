// An import into a file: the scoring input, and beside it what was rejected.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "import/import_identity.h"
#include "import/importer.h"

namespace switchyard {

/// Where the rejects of an import into `output` go.
std::filesystem::path import_rejects_path(const std::filesystem::path& output);

int64_t count_import_rejects(const std::filesystem::path& output);  ///< by what is there

/// Writes `output` and, if there are rejects, a line {"source", "line" or "record", "reason"} for each beside it; both
/// appear complete, the rejects first, and replace older ones only when all has been read. The input says what it was
/// made from (ScoringInput::origin), unless of arrays. `is_all`, called when all has been read and nothing shown, may
/// fail. Fails (input, output).
void import_to_file(Importer& importer, const ImportRules& rules, const Tokenizer& tokenizer,
                    const std::filesystem::path& output, bool labels, const std::function<void()>& is_all = {});

/// The field that the origin of a sample has, which is not imported but taken of another input (jobs/input/sample.h).
inline constexpr std::string_view kSampleOf = "sample_of";

/// What an input says that it was imported from; empty: nothing, or it is a sample. Fails (input).
struct ImportedFrom {
  ImportIdentity identity;
  int64_t documents = 0, rejects = 0;
};
std::optional<ImportedFrom> imported_from(const ScoringInput& input);

}  // namespace switchyard
