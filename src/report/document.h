// A page for people that stands alone: text, tables, and charts as static SVG. No scripts, nothing loaded from
// elsewhere; all text that is given is escaped; the same input gives the same bytes.
//
//   report::Document page("switchyard score");
//   auto& speed = page.section("Speed");
//   speed.add(report::TimeSeries{.title = "Tokens per second", …});
//   write_file_atomically(path, page.html());
#pragma once

#include <deque>
#include <string>

#include "report/bar_list.h"
#include "report/curves.h"
#include "report/groups.h"
#include "report/heat_map.h"
#include "report/histogram.h"
#include "report/scatter.h"
#include "report/stacked_bars.h"
#include "report/table.h"
#include "report/time_series.h"

namespace switchyard::report {

/// What is read together: blocks in reading order, side by side where a wide page has room.
class Section {
 public:
  explicit Section(std::string title) : title_(std::move(title)) {}
  /// Any struct of this component: a chart, Table, Tiles, Definitions, Note. One without data says so; values that are
  /// not finite are left out and counted. Fails (internal) when its sizes do not fit together.
  template <class Block>
  Section& add(const Block& block) {
    html_ += render(block);
    return *this;
  }

  const std::string& title() const { return title_; }
  const std::string& html() const { return html_; }

 private:
  std::string title_, html_;
};

class Document {
 public:
  explicit Document(std::string title, std::string subtitle = {})
      : title_(std::move(title)), subtitle_(std::move(subtitle)) {}
  /// A new one, below those that are there; stays valid.
  Section& section(std::string title) { return sections_.emplace_back(std::move(title)); }
  std::string html() const;

 private:
  std::string title_, subtitle_;
  std::deque<Section> sections_;
};

}  // namespace switchyard::report
