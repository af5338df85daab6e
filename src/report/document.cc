#include "report/document.h"

#include <fmt/format.h>

#include "report/markup.h"
#include "report/style.h"

namespace switchyard::report {
namespace {

constexpr size_t kFewSections = 3;  // need no contents

std::string contents(const std::deque<Section>& sections) {
  if (sections.size() <= kFewSections) return {};
  std::string out = "<nav aria-label=\"Contents\">";
  for (size_t s = 0; s < sections.size(); ++s)
    out += fmt::format("<a href=\"#s{}\">{}</a>", s + 1, escaped(sections[s].title()));
  return out + "</nav>\n";
}

}  // namespace

std::string Document::html() const {
  // Should a text ever get out of its quotes, the policy still runs no script and loads nothing.
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style></head>\n<body><main>\n<header><h1>{}</h1>\n",
      escaped(title_), kStyle, escaped(title_));
  if (!subtitle_.empty()) out += fmt::format("<p class=\"subtitle\">{}</p>\n", escaped(subtitle_));
  out += contents(sections_) + "</header>\n";
  for (size_t s = 0; s < sections_.size(); ++s) {
    const std::string& blocks = sections_[s].html();
    out += fmt::format("<section id=\"s{}\"><h2>{}</h2>\n<div class=\"blocks\">\n{}</div></section>\n", s + 1,
                       escaped(sections_[s].title()), blocks.empty() ? "<p class=\"empty\">No data.</p>\n" : blocks);
  }
  return out + "</main></body></html>\n";
}

}  // namespace switchyard::report
