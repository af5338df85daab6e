#include "model/checkpoint/delta_check.h"

#include "io/delta_file.h"
#include "model/checkpoint/stored_hash.h"

namespace switchyard {

void require_result(const ModelConfig& config, const std::filesystem::path& directory,
                    std::span<const std::filesystem::path> deltas, const Hash128& found,
                    const std::function<void()>& poll) {
  if (deltas.empty()) return;
  const Checkpoint checkpoint(directory, deltas);
  const DeltaFile &first = *checkpoint.deltas().front(), &last = *checkpoint.deltas().back();
  if (found.hex() == last.result()) return;
  const TensorTable table(checkpoint, config, directory.native());
  if (const std::string base = hash_without_deltas(table, poll).hex(); base != first.base())
    fail(ExitCode::input, "{}: wrong base: the delta was cut from the model {}, {} is {}", first.path().native(),
         first.base(), directory.native(), base);
  fail(ExitCode::input, "{}: leads to the model {}, expected {}: {} damaged", last.path().native(), found.hex(),
       last.result(), deltas.size() == 1 ? "it is" : "one of the deltas is");
}

}  // namespace switchyard
