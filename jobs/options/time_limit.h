// Time limits as sbatch takes them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace switchyard {

/// Seconds of M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; of 0, -1, UNLIMITED and INFINITE 0: no limit. Empty for anything
/// else.
std::optional<int64_t> limit_seconds(const std::string& text);

/// "1-03:00:00", rounded up to a quarter of an hour.
std::string limit_text(double seconds);

}  // namespace switchyard
