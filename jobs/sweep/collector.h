// What a sweep has come to so far, whoever runs its points, and whether or not they have ended.
#pragma once

#include "jobs/study/study_table.h"
#include "jobs/sweep/sweep.h"

namespace switchyard {

/// sweep.csv, sweep.h5 and report.html of the sweep's folder. Fails (usage) on a metric of the file's that no point
/// has, naming those that there are, once some point has any.
void collect(const Sweep& sweep);

/// Fails (usage) on a metric of the file's that is none of these.
void require_metrics(const SweepFile& file, const std::vector<std::string>& known);

/// A page for people.
std::string sweep_report_html(const Sweep& sweep, const StudyTable& table);

/// The metric that points are ranked by: the file's, or the held-out loss, or the loss. Empty: there is none yet.
std::string ranking_metric(const SweepFile& file, const StudyTable& table);

}  // namespace switchyard
