#include "jobs/score/pace.h"

#include <algorithm>

namespace switchyard {
namespace {

// Of what came before, this much counts beside a new step: a short last step of a chunk hardly changes the rate.
constexpr double kKeptOfSteps = 0.5;
constexpr double kKeptOfReserve = 0.9;  // by chunk
constexpr double kLeastReserve = 1;
constexpr double kUnmeasuredStepSeconds = 60;

}  // namespace

void Pace::add_step(int64_t tokens, double seconds) {
  recent_tokens_ = kKeptOfSteps * recent_tokens_ + static_cast<double>(tokens);
  recent_seconds_ = kKeptOfSteps * recent_seconds_ + std::max(seconds, 1e-9);
}

void Pace::begin_chunk(int64_t tokens) {
  chunk_tokens_ = tokens;
  foreseen_ = seconds_for(tokens);
}

void Pace::end_chunk(double seconds) {
  if (foreseen_ == 0) foreseen_ = seconds_for(chunk_tokens_);  // the first: what it took beside its steps
  reserve_ = std::max({seconds - foreseen_, kKeptOfReserve * reserve_, kLeastReserve});
}

double Pace::tokens_per_second() const {
  return recent_seconds_ == 0 ? 0 : recent_tokens_ / recent_seconds_;
}

double Pace::seconds_for(int64_t tokens) const {
  return recent_tokens_ == 0 ? 0 : static_cast<double>(tokens) * recent_seconds_ / recent_tokens_;
}

bool Pace::fits(int64_t tokens, double seconds_left) const {
  if (recent_tokens_ == 0 && tokens > 0) return seconds_left > kUnmeasuredStepSeconds;
  return seconds_for(tokens) + reserve_ < seconds_left;
}

}  // namespace switchyard
