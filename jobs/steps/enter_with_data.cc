#include "jobs/steps/enter_with_data.h"

#include <fmt/format.h>

#include "base/error.h"
#include "train/checkpoints/checkpoints.h"

namespace switchyard {

void enter_with_data(Attempt& attempt, DataFiles& files, const std::function<void()>& take) {
  WorkUnits units;
  units.files = fmt::format("{}/step-*", Checkpoints::kFolder);
  attempt.enter(units);
  files.provide(attempt.directory(), [&] { attempt.get_on_or_give_up(); });
  try {
    take();
  } catch (const Error& error) {
    if (error.code() == ExitCode::mismatch) files.withdraw(attempt.directory());
    throw;
  }
}

}  // namespace switchyard
