// report.html: what a person opens when a scoring run is complete.
#pragma once

#include <string>
#include <vector>

#include "jobs/score/results.h"
#include "jobs/score/summary.h"
#include "report/time_series.h"

namespace switchyard {

/// A page that stands alone. `plan`: lines of "what: how". The summary is that of the last attempt; totals and speed
/// are the whole run's.
std::string report_html(const std::string& title, const std::vector<std::string>& plan, const RunSummary& summary,
                        const ResultTotals& totals, const std::vector<report::TimeSeries::Attempt>& speed);

}  // namespace switchyard
