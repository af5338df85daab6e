// Sample reports in headless Chromium: nothing overflows its box, no text covers another, in light, dark and on paper.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "report/markup.h"
#include "tests/report/samples.h"
#include "tests/support/process.h"
#include "tests/support/temporary_directory.h"

namespace switchyard {
namespace {

using namespace report;

/// An A4 page within its margins, at 96 pixels an inch.
constexpr int kPaperWidth = 680;

std::string replaced_once(std::string page, std::string_view from, std::string_view to) {
  const size_t at = page.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? page : page.replace(at, from.size(), to);
}

/// The page as it is printed: a frame cannot ask for paper, so the rules for it are made to hold always.
std::string as_printed(const std::string& page) {
  return replaced_once(replaced_once(page, "@media print", "@media all"),
                       "@media screen and (prefers-color-scheme:dark)", "@media not all");
}

std::string quoted(const std::string& page) {
  std::string out;
  for (const char ch : page) out += ch == '&' ? "&amp;" : ch == '"' ? "&quot;" : std::string(1, ch);
  return out;
}

std::string frame(const std::string& title, const std::string& page, int width, bool dark, bool paper) {
  return fmt::format(
      "<iframe title=\"{}\" {} style=\"width:{}px;height:900px;border:0;color-scheme:{}\" srcdoc=\"{}\"></iframe>\n",
      title, paper ? "data-paper" : "", width, dark ? "dark" : "light", quoted(page));
}

class Layout : public testing::Test {
 protected:
  void SetUp() override {
    if (test::run({"chromium", "--version"}).exit_code != 0)
      GTEST_SKIP() << "no chromium here: the layout of reports is not checked";
  }

  test::ProcessResult chromium(std::vector<std::string> options, const std::filesystem::path& page) {
    options.insert(options.begin(),
                   {"chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                    "--disable-dev-shm-usage", "--user-data-dir=" + (directory_ / "profile").string()});
    options.push_back("file://" + page.string());
    return test::Process(options, {{"HOME", directory_.path().string()}}).wait(std::chrono::seconds(60));
  }

  const test::TemporaryDirectory directory_;
};

/// What the script says of frames: "checked N; N findings" and the findings.
std::string document_of(const std::string& frames) {
  return fmt::format(
      "<!doctype html><html><head><meta charset=\"utf-8\"><title>not "
      "run</title></head><body>\n{}<script>{}</script></body></html>",
      frames, test::bytes_of_file(SWITCHYARD_LAYOUT_SCRIPT));
}

std::string title_of(const std::string& dom) {
  const size_t begin = dom.find("<title>") + 7;
  return dom.substr(begin, dom.find("</title>", begin) - begin);
}

TEST_F(Layout, EverythingFits) {
  std::string frames;
  int num_frames = 0;
  for (const test::Sample& sample : test::sample_reports()) {
    const std::string page = sample.page.html();
    for (const int width : {400, 1000, 1600})
      frames += frame(fmt::format("{} at {}", sample.name, width), page, width, width != 1000, false);
    frames += frame(sample.name + " on paper", as_printed(page), kPaperWidth, true, true);
    num_frames += 4;
  }
  const test::ProcessResult result =
      chromium({"--dump-dom", "--virtual-time-budget=10000"}, directory_.write("all.html", document_of(frames)));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(title_of(result.out), fmt::format("checked {}; 0 findings\n", num_frames));
}

TEST_F(Layout, TheCheckFindsWhatDoesNotFit) {
  Document page("Broken");
  page.section("Speed").add(BarList{"Bars", kCount, {{"a", 1}}});
  const std::string broken =
      replaced_once(page.html(), "<div class=\"rows",
                    "<svg width=\"100\" height=\"20\"><text x=\"0\" y=\"9\">one</text><text x=\"9\" y=\"9\">two</text>"
                    "<text x=\"5000\" y=\"9\">far</text></svg><p "
                    "style=\"color:#ddd;background:#fff;width:3000px\">wide</p><div class=\"rows");
  const test::ProcessResult result =
      chromium({"--dump-dom", "--virtual-time-budget=10000"},
               directory_.write("broken.html", document_of(frame("broken", broken, 1000, false, false))));
  const std::string findings = title_of(result.out);
  for (const char* finding :
       {"text over \"one\"", "text out of its card", "out of its card: &lt;p", "wide in", "contrast 1."})
    EXPECT_NE(findings.find(finding), std::string::npos) << finding << " not in\n" << findings;
}

TEST_F(Layout, Prints) {
  const std::filesystem::path pdf = directory_ / "large.pdf";
  const test::ProcessResult result = chromium({"--print-to-pdf=" + pdf.string()},
                                              directory_.write("large.html", test::sample_reports().at(1).page.html()));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const std::string bytes = test::bytes_of_file(pdf);
  EXPECT_EQ(bytes.substr(0, 5), "%PDF-");
  int pages = 0;
  for (size_t at = 0; (at = bytes.find("/Type /Page\n", at)) != std::string::npos; ++at) ++pages;
  EXPECT_GE(pages, 6) << "how much fits depends on the fonts";
  EXPECT_LE(pages, 12);
}

}  // namespace
}  // namespace switchyard
