// A program of jobs: its command line finds one, starts MPI, runs it, catches once.
#pragma once

#include <span>

#include "jobs/job.h"

namespace switchyard {

/// All of main(): returns the exit code.
int run_program(std::span<const JobEntry> jobs, int argc, char** argv);

}  // namespace switchyard
