// What an expert group has learnt of its own speed: whether a chunk still fits before an end.
#pragma once

#include <cstdint>

namespace switchyard {

/// Fed with times that the ranks of the group have agreed on, it says the same on all of them.
class Pace {
 public:
  /// A step of the whole group; seconds: the slowest rank's.
  void add_step(int64_t tokens, double seconds);
  void begin_chunk(int64_t tokens);
  /// The chunk is committed; seconds since its beginning, the slowest rank's.
  void end_chunk(double seconds);

  double tokens_per_second() const;  ///< of the last steps; 0 before the first
  double seconds_for(int64_t tokens) const;
  /// Seconds to keep free beside those for tokens: by so much chunks, with their commits, have lasted longer than was
  /// foreseen. What happened long ago counts less.
  double reserve() const { return reserve_; }
  /// Whether `tokens` more and a commit end within `seconds_left`. Before the first step that is not known: one is
  /// tried if much is left.
  bool fits(int64_t tokens, double seconds_left) const;

 private:
  double recent_tokens_ = 0, recent_seconds_ = 0;
  int64_t chunk_tokens_ = 0;
  double foreseen_ = 0;  ///< seconds for the chunk's tokens when it began
  double reserve_ = 1;
};

}  // namespace switchyard
