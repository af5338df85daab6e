// What is read, not drawn: tables, key figures, definitions, notes.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "report/numbers.h"

namespace switchyard::report {

/// Columns of text, or of numbers with one unit, one scale and one number of digits a column.
struct Table {
  struct Column {
    std::string title = {};
    std::optional<Unit> unit = {};  ///< none: text
  };
  using Cell = std::variant<std::string, double>;  ///< an empty text and NaN are no value

  std::string title = {};
  std::vector<Column> columns = {};
  std::vector<std::vector<Cell>> rows = {};  ///< [rows][columns]
};
std::string render(const Table& table);

/// Key figures, large.
struct Tiles {
  struct Tile {
    std::string label = {};
    double value;
    Unit unit;
    std::string remark = {};  ///< small, below
  };
  std::vector<Tile> tiles = {};
};
std::string render(const Tiles& tiles);

struct Definitions {
  std::string title = {};
  std::vector<std::pair<std::string, std::string>> entries = {};
};
std::string render(const Definitions& definitions);

struct Note {
  enum class Kind { remark, warning };
  Kind kind = Kind::remark;
  std::string text = {};
};
std::string render(const Note& note);

}  // namespace switchyard::report
