#include "report/document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "base/error.h"
#include "report/markup.h"
#include "tests/report/samples.h"

namespace switchyard::report {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Markup, EscapesWhatWouldBeMarkup) {
  EXPECT_EQ(escaped("<a href=\"x\">'&'</a>"), "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  EXPECT_EQ(escaped("tab\tline\n"), "tab\tline\n");
  EXPECT_EQ(escaped(std::string_view("a\0b\x1B\x7F", 5)), "a�b��");
}

TEST(Markup, KeepsWhatIsUtf8AndOnlyThat) {
  for (const char* good : {"é", "–", "�", "😀", "\xED\x9F\xBF", "\xF4\x8F\xBF\xBF"}) EXPECT_EQ(escaped(good), good);
  EXPECT_EQ(escaped("\xC0\x80"), "��") << "overlong";
  EXPECT_EQ(escaped("\xE0\x80\x80"), "���") << "overlong";
  EXPECT_EQ(escaped("\xED\xA0\x80"), "���") << "surrogate";
  EXPECT_EQ(escaped("\xF4\x90\x80\x80"), "����") << "beyond Unicode";
  EXPECT_EQ(escaped("\xE2\x80<"), "��&lt;") << "cut";
  EXPECT_EQ(escaped("\xC3"), "�");
}

TEST(Markup, CutsWhatIsTooLong) {
  const std::string text = escaped(std::string(1999, 'x') + "é" + std::string(5000, 'y'));
  EXPECT_EQ(text, std::string(1999, 'x') + "é…");
  EXPECT_EQ(num_characters("aé–😀"), 4);
}

TEST(Markup, Coordinates) {
  EXPECT_EQ(coordinate(12.5), "12.5");
  EXPECT_EQ(coordinate(100), "100");
  EXPECT_EQ(coordinate(-0.0001), "0");
  EXPECT_EQ(percent(1.0 / 3), "33.333%");
}

TEST(Document, EscapesAllTextFromOutside) {
  const std::string evil = "<script>alert(\"1\")</script>' onload='";
  Document page(evil, evil);
  Section& section = page.section(evil);
  section.add(Tiles{{{evil, 1, kTokens, evil}}}).add(Note{Note::Kind::warning, evil});
  section.add(Definitions{evil, {{evil, evil}}}).add(Table{evil, {{evil, {}}, {evil, kCount}}, {{evil, evil}}});
  section.add(BarList{evil, kCount, {{evil, 1}}}).add(StackedBars{evil, kSeconds, {evil}, {{evil, {1}}}});
  section.add(TimeSeries{evil, kNumber, {{evil, 0, 1, {{0, 1}, {1, 2}}}, {evil, 2, 3, {{2, 1}}}}});
  section.add(HeatMap{.title = evil, .row_name = evil, .column_name = evil, .rows = 1, .columns = 1, .values = {1}});
  Histogram histogram{.title = evil, .value_name = evil, .bins = Bins::linear(0, 1, 1)};
  histogram.bins.add(0.5);
  section.add(histogram);
  const std::string html = page.html();
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("' onload='")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;&#39; onload=&#39;"));
}

TEST(Document, StandsAlone) {
  for (const test::Sample& sample : test::sample_reports()) {
    const std::string html = sample.page.html();
    for (const char* foreign :
         {"<script", "src=", "http:", "https:", "url(", "@import", "<link", "nan", "inf%", "-nan"})
      EXPECT_THAT(html, Not(HasSubstr(foreign))) << sample.name;
    EXPECT_LT(html.size(), 2'000'000) << sample.name;
  }
}

TEST(Document, IsTheSameEveryTime) {
  const std::vector<test::Sample> once = test::sample_reports(), again = test::sample_reports();
  for (size_t s = 0; s < once.size(); ++s) EXPECT_EQ(once[s].page.html(), again[s].page.html()) << once[s].name;
}

TEST(Document, WithoutDataSaysSo) {
  const std::string html = test::sample_reports().back().page.html();
  size_t sentences = 0;
  for (size_t at = 0; (at = html.find(">No data.</p>", at)) != std::string::npos; ++at) ++sentences;
  EXPECT_EQ(sentences, 10) << "nine blocks and a section";
  EXPECT_THAT(html, Not(HasSubstr("<svg")));
}

TEST(Document, ListsManySectionsAtTheTop) {
  Document page("t");
  for (const char* title : {"a", "b", "c"}) page.section(title);
  EXPECT_THAT(page.html(), Not(HasSubstr("<nav")));
  page.section("d & e");
  EXPECT_THAT(page.html(), HasSubstr("<a href=\"#s4\">d &amp; e</a>"));
  EXPECT_THAT(page.html(), HasSubstr("<section id=\"s4\"><h2>d &amp; e</h2>"));
}

TEST(Table, ColumnsOfOneUnitHaveOneFormat) {
  const std::string html =
      render(Table{"t",
                   {{"name", {}}, {"least", kSeconds}, {"most", kSeconds}, {"part", kShare}, {"n", kTokens}},
                   {{"a", 6.0, 600.0, 0.5, 1234567.0}, {"b", 0.001, 1200.0, 0.0, 2.0}}});
  EXPECT_THAT(html,
              HasSubstr("<th scope=\"col\">name</th><th scope=\"col\" class=\"number\">least (min)</th>"
                        "<th scope=\"col\" class=\"number\">most (min)</th><th scope=\"col\" class=\"number\">part</th>"
                        "<th scope=\"col\" class=\"number\">n (tokens)</th>"));
  EXPECT_THAT(html, HasSubstr("<td>a</td><td class=\"number\">0.10</td><td class=\"number\">10.00</td>"
                              "<td class=\"number\">50.0%</td><td class=\"number\">1,234,567</td>"));
  EXPECT_THAT(html, HasSubstr("<td class=\"number\">&lt;0.01</td><td class=\"number\">20.00</td>"));
}

TEST(Table, HasABound) {
  Table table{"t", {{"n", kCount}}, {}};
  for (int r = 0; r < 600; ++r) table.rows.push_back({static_cast<double>(r)});
  const std::string html = render(table);
  EXPECT_THAT(html, HasSubstr("The first 500 of 600 lines."));
  EXPECT_THAT(html, HasSubstr(">499</td>"));
  EXPECT_THAT(html, Not(HasSubstr(">500</td>")));
  table.rows[3].clear();
  EXPECT_THROW(render(table), Error);
}

TEST(Table, WhatIsNoNumberIsADash) {
  const std::string html = render(Table{"t", {{"n", kCount}}, {{std::numeric_limits<double>::quiet_NaN()}, {5.0}}});
  EXPECT_THAT(html, HasSubstr("<td class=\"number\">–</td>"));
}

TEST(Tiles, AreShortAndTellAllDigitsWhenAsked) {
  EXPECT_THAT(render(Tiles{{{"Tokens", 1234567, kTokens, "of all attempts"}}}),
              HasSubstr("<dt>Tokens</dt><dd title=\"1,234,567 tokens\">1.235 M <small>tokens</small></dd>"
                        "<dd class=\"remark\">of all attempts</dd>"));
}

}  // namespace
}  // namespace switchyard::report
