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

ResultTotals totals() {
  ResultTotals totals;
  totals.rejects = 3;
  totals.rejects_by_reason = {{"empty record", 1}, {"token N is N", 2}};
  totals.expert_tokens = {2, 4, {0, 700, 100, 0, 5, 5, 5, 5}};
  totals.record_lengths.add(20, 7);
  totals.mean_logprobs.add(-2.5, 7);
  return totals;
}

std::string page_of(const RunSummary& summary, const std::vector<std::string>& plan = {}) {
  return report_html("score", plan, summary, totals(), {{"17.0", 0, 100, {{50, 1234}}}});
}

TEST(ScoreReport, TellsTheFiguresOfTheSummary) {
  const std::string page = page_of(two_ranks(), {"model: tiny, 2 layers", "input: 7 records: all"});
  EXPECT_THAT(page, HasSubstr("<p class=\"subtitle\">tiny, 2 layers</p>"));
  EXPECT_THAT(page, HasSubstr("<dt>input</dt><dd>7 records: all</dd>"));
  EXPECT_THAT(page, HasSubstr("<dd title=\"1,234,567\">1.235 M</dd><dd class=\"remark\">3 rejected</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Bits per token</dt><dd title=\"1\">1</dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Speed</dt><dd title=\"500 tok/s\">500 <small>tok/s</small></dd>"));
  EXPECT_THAT(page, HasSubstr("<dt>Memory</dt><dd title=\"3.00 GiB\">"));
  EXPECT_THAT(page, HasSubstr("<dt>memory</dt><dd>at most 3.00 GiB in a rank</dd>"));
  EXPECT_THAT(page, HasSubstr("Largest: 700 tokens at layer 0, expert 1"));
  EXPECT_THAT(page, HasSubstr("<strong>Warning</strong> Records were rejected"));
  for (const std::string& note : advice(two_ranks())) EXPECT_THAT(page, HasSubstr(note));
}

TEST(ScoreReport, ARanksPhasesDoNotOverlap) {
  const std::string page = page_of(two_ranks());
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

TEST(ScoreReport, NodeHoursOfASecondAreReadable) {
  RunSummary summary = two_ranks();
  for (PhaseSeconds& phases : summary.phases) phases.total = 0.3034;
  summary.usage.nodes = 1;
  EXPECT_THAT(page_of(summary), HasSubstr("<dt>Node-hours</dt><dd title=\"0.0001\">0.0001</dd>"));
}

TEST(ScoreReport, TellsOfTheWholeRun) {
  RunSummary summary = two_ranks();
  summary.bytes_sent = {0, 4096, 1024, 0};
  const std::string page = page_of(summary);
  EXPECT_THAT(page, HasSubstr("Tokens per second"));
  EXPECT_THAT(page, HasSubstr("17.0"));
  EXPECT_THAT(page, HasSubstr("Largest: 4.00 KiB at sender 0, receiver 1"));
  EXPECT_THAT(page, HasSubstr("scored tokens of a record"));
  EXPECT_THAT(page, HasSubstr("mean per token of a record, nats"));
  EXPECT_LT(page.find("token N is N"), page.find("empty record")) << "the most frequent first";
}

/// Two groups of 64 ranks, two ranks a cell.
TEST(ScoreReport, TrafficOfManyRanksIsTakenTogether) {
  RunSummary summary = two_ranks();
  summary.phases.resize(128);
  summary.rank_tokens.assign(128, 1);
  summary.bytes_sent.assign(size_t{128} * 64, 0);
  summary.bytes_sent[127 * 64 + 1] = 2048;  // from the last rank to rank 65
  const std::string page = page_of(summary);
  EXPECT_THAT(page, HasSubstr("Sent between blocks of 2 ranks"));
  EXPECT_THAT(page, HasSubstr("Largest: 2.00 KiB at sending block 63, receiving block 32"));
}

TEST(ScoreReport, AnAttemptThatOnlyMergedHasNoSpeed) {
  RunSummary summary = two_ranks();
  EXPECT_THAT(page_of(summary), HasSubstr("<dt>Speed</dt>"));
  summary.rank_tokens = {0, 0};
  EXPECT_THAT(page_of(summary), Not(HasSubstr("<dt>Speed</dt>")));
}

TEST(ScoreReport, WhereNothingWasSentIsNoTraffic) {
  RunSummary summary = two_ranks();
  summary.bytes_sent = {0, 0};
  EXPECT_THAT(page_of(summary), Not(HasSubstr("sender")));
}

TEST(ScoreReport, DocumentsAreCalledSo) {
  RunSummary summary = two_ranks();
  summary.rank_tokens = {2000, 2000};  // no advice on records per chunk, which are their pieces
  EXPECT_THAT(page_of(summary), Not(HasSubstr("ocuments")));
  summary.joined = true;
  const std::string page = page_of(summary);
  EXPECT_THAT(page, HasSubstr("<dt>Documents</dt>"));
  EXPECT_THAT(page, HasSubstr("Documents were rejected"));
  EXPECT_THAT(page, HasSubstr("scored tokens of a document"));
  EXPECT_THAT(page, HasSubstr("mean per token of a document, nats"));
  EXPECT_THAT(page, HasSubstr("7 documents"));
  EXPECT_THAT(page, Not(HasSubstr("ecords")));
}

TEST(ScoreReport, NothingRejectedIsNoWarning) {
  RunSummary summary = two_ranks();
  summary.rejects = 0;
  EXPECT_THAT(page_of(summary), Not(HasSubstr("Warning")));
}

}  // namespace
}  // namespace switchyard
