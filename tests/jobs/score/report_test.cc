#include "jobs/score/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace switchyard {
namespace {

using testing::HasSubstr;
using testing::Not;

RunSummary two_ranks() {
  RunSummary summary;
  summary.phases.resize(2);
  summary.phases[0] = {.load = 10, .decode = 60, .exchange_wait = 12, .exchange_transfer = 8, .head = 20, .total = 100};
  summary.phases[1] = {.load = 20, .decode = 60, .head = 10, .total = 100};
  summary.rank_tokens = {3000, 1000};
  summary.expert_rows = {0, 700, 100, 0};
  summary.records = 1234567;
  summary.rejects = 3;
  summary.scored_tokens = 1000;
  summary.logprob = -693.147;
  summary.scoring_seconds = 8;
  summary.usage.peak_memory = uint64_t{3} << 30;
  return summary;
}

TEST(ScoreReport, TellsTheFiguresOfTheSummary) {
  const std::string page = report_html("score", {"model: tiny, 2 layers", "input: 7 records: all"}, two_ranks());
  EXPECT_THAT(page, HasSubstr("<p class=\"subtitle\">tiny, 2 layers</p>"));
  EXPECT_THAT(page, HasSubstr("<dt>input</dt><dd>7 records: all</dd>"));
  EXPECT_THAT(page, HasSubstr("<dd title=\"1,234,567\">1.235 M</dd><dd class=\"remark\">3 rejected</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Bits per token</dt><dd title=\"1\">1</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Speed</dt><dd title=\"500 tok/s\">500 <small>tok/s</small></dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Memory</dt><dd title=\"3.00 GiB\">"));
  EXPECT_THAT(page, HasSubstr("<dt>memory</dt><dd>at most 3.00 GiB in a rank</dd>"));
  EXPECT_THAT(page, HasSubstr("Largest: 700 tokens at expert 1 (3.5 times the mean of 200 tokens)."));
  EXPECT_THAT(page, HasSubstr("<strong>Warning</strong> Records were rejected"));
  for (const std::string& note : advice(two_ranks())) EXPECT_THAT(page, HasSubstr(note));
}

TEST(ScoreReport, ARanksPhasesDoNotOverlap) {
  const std::string page = report_html("score", {}, two_ranks());
  EXPECT_THAT(page,
              HasSubstr("aria-label=\"rank 0: load 10.0 s, decoder 40.0 s, exchange wait 12.0 s, exchange transfer "
                        "8.00 s, vocabulary 20.0 s, between phases 10.0 s\""));
  EXPECT_THAT(
      page,
      HasSubstr("aria-label=\"rank 1: load 20.0 s, decoder 1 min 00 s, vocabulary 10.0 s, between phases 10.0 s\""));
  EXPECT_THAT(page, HasSubstr("<td>load</td><td class=\"number\">10.0</td><td class=\"number\">15.0</td>"
                              "<td class=\"number\">20.0</td><td class=\"number\">15.0%</td>"));
  EXPECT_THAT(page, HasSubstr("<td>of it exchange wait</td><td class=\"number\">0.0</td>"));
}

TEST(ScoreReport, NothingRejectedIsNoWarning) {
  RunSummary summary = two_ranks();
  summary.rejects = 0;
  EXPECT_THAT(report_html("score", {}, summary), Not(HasSubstr("Warning")));
}

}  // namespace
}  // namespace switchyard
