// What a point has come to, as numbers by name.
#pragma once

#include <map>
#include <span>
#include <string>

#include "jobs/sweep/stages.h"

namespace switchyard {

using Metrics = std::map<std::string, double>;

/// Of runs that are complete. Of the training what the last line of its metrics.jsonl says (loss, eval_loss,
/// eval_loss.FILE for every held-out file, …) and its changes.json (trained, changed, vanished); of a scoring run NAME
/// NAME.loss, the mean negative log-probability of a token, NAME.bits_per_token, NAME.greedy, NAME.records and
/// NAME.tokens. Fails (input) on files that are not what they should be.
Metrics metrics_of(std::span<const Stage> stages);

/// Those that it may have, before its runs are there; without values.
Metrics metrics_to_come(std::span<const Stage> stages);

}  // namespace switchyard
