// The most that options of several jobs take: beyond any machine, and far from where products of them overflow.
#pragma once

#include <cstdint>

namespace switchyard {

inline constexpr int64_t kMaxRanks = int64_t{1} << 20;
inline constexpr int64_t kMaxThreads = 4096;  ///< of a rank
inline constexpr int64_t kMaxBatchTokens = int64_t{1} << 24;
inline constexpr int64_t kMaxChunkRecords = int64_t{1} << 40;
inline constexpr int64_t kMaxExchangeBytes = int64_t{1} << 46;
inline constexpr int64_t kMaxLineBytes = int64_t{1} << 36;
inline constexpr int64_t kMaxSteps = int64_t{1} << 25;  ///< each is looked at before a run begins
inline constexpr int64_t kMaxStepRecords = int64_t{1} << 22;
inline constexpr double kMaxRate = 1000;  ///< of learning, of decay
inline constexpr double kMaxMemoryGib = 1 << 20;
inline constexpr int64_t kMaxSeconds = int64_t{366} * 24 * 3600;

}  // namespace switchyard
