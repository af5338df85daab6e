// Numbers as people read them: units, sensible digits, thousands separated.
#pragma once

#include <string>
#include <string_view>

namespace switchyard::report {

/// What a number measures.
struct Unit {
  enum class Kind {
    count,    ///< of things: "1,234,567"
    real,     ///< four digits: "1.234"
    share,    ///< of 1: "12.3%"
    seconds,  ///< "4.20 s", "1 h 02 min"
    bytes,    ///< "3.52 GiB"
  };
  Kind kind = Kind::real;
  std::string_view word = {};  ///< behind the number: "tok/s"; a literal

  bool operator==(const Unit&) const = default;
};

inline constexpr Unit kNumber{Unit::Kind::real}, kCount{Unit::Kind::count}, kShare{Unit::Kind::share},
    kSeconds{Unit::Kind::seconds}, kBytes{Unit::Kind::bytes}, kTokens{Unit::Kind::count, "tokens"},
    kRecords{Unit::Kind::count, "records"}, kDocuments{Unit::Kind::count, "documents"},
    kTokensPerSecond{Unit::Kind::count, "tok/s"};

/// A number that stands alone: "1,234,567 tokens". Counts have all their digits; what is not finite is a dash.
std::string text(double value, Unit unit);
/// The same with few digits where there would be many: "1.235 M tokens".
std::string short_text(double value, Unit unit);

/// What numbers side by side are divided by, and what then stands behind them.
struct Scale {
  double factor = 1;
  std::string_view symbol;  ///< "GiB", "min", "k", "%" or nothing
};
/// `largest`: the largest magnitude among them.
Scale scale_of(double largest, Unit unit);
/// "20k", "5 min", "10%".
std::string with_symbol(const std::string& number, std::string_view symbol);

/// `decimals` digits behind the point, thousands separated; from 10^18 with an exponent. A number that is not zero but
/// would read so is "<0.01".
std::string fixed(double value, int decimals);
/// How many decimals give a number of this magnitude that many significant digits; never less than none.
int decimals_for(double magnitude, int significant_digits);

}  // namespace switchyard::report
