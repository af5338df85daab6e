#include "train/selection/fisher_source.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace switchyard {

void FisherSource::read(const Parameter& p, int64_t first, std::span<float> out) const {
  read_(p, first, out);
  const auto wrong = std::ranges::find_if(out, [](float x) { return !(x >= 0 && std::isfinite(x)); });
  if (wrong == out.end()) return;
  const int64_t element = first + (wrong - out.begin()), columns = p.row_elements();
  fail(ExitCode::input, "{}: {}, row {}, column {}: expected a number of at least 0, found {}", subject_, p.name(),
       element / columns, element % columns, *wrong);
}

}  // namespace switchyard
