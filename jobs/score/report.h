// report.html: what a person opens when a scoring run is complete.
#pragma once

#include <string>
#include <vector>

#include "jobs/score/summary.h"

namespace switchyard {

/// A page that stands alone. `plan`: lines of "what: how". The summary is that of the last attempt.
std::string report_html(const std::string& title, const std::vector<std::string>& plan, const RunSummary& summary);

}  // namespace switchyard
