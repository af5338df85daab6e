// Where the time of an attempt at a training run went, over its ranks.
#pragma once

#include <vector>

#include "comm/communicator.h"
#include "jobs/records/phase_table.h"

namespace switchyard {

/// Seconds of one rank by phase. `exchange` lies within forward, backward and evaluation.
struct TrainPhases {
  double read = 0, load = 0, forward = 0, head = 0, backward = 0, update = 0, exchange = 0, evaluation = 0,
         checkpoint = 0, finish = 0, wait = 0, total = 0;
};

/// A row for each phase and for the total, at all ranks. Collective.
std::vector<PhaseRow> gather_phases(Communicator& world, const TrainPhases& mine);

}  // namespace switchyard
