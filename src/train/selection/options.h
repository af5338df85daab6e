// What decides which of a model's parameters train.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <string_view>

namespace switchyard {

/// What the choice is made by. fisher_new: the most Fisher information on new data (FISH mask, Sung et al. 2021);
/// fisher_old: the least on old data, which more would have to be protected (EWC, Kirkpatrick et al. 2017); ratio: new
/// over old; esft_gate, esft_token: experts by their part in the routing of new data (Wang et al. 2024).
enum class SelectionRule : uint8_t { fisher_new, fisher_old, ratio, random, esft_gate, esft_token };

inline bool is_by_routing(SelectionRule rule) {
  return rule == SelectionRule::esft_gate || rule == SelectionRule::esft_token;
}

/// What is chosen or not as a whole: an element, a row of a parameter (the inputs of one output), an expert.
enum class Granularity : uint8_t { element, row, expert };

/// Parameters of a kind that selections leave alone, and train whole where they are asked to.
enum class SpecialKind : uint8_t { router, norms, biases };
inline constexpr std::array<std::string_view, 3> kSpecialKinds = {"router", "norms", "biases"};

/// A share of a whole, exactly: a decimal.
struct Decimal {
  int64_t numerator = 0, denominator = 1;  ///< a power of ten

  /// Fails (usage) unless it is from 0 to 1 with at most 15 digits. option: its name.
  static Decimal parse(std::string_view text, std::string_view option);
  /// ⌊n · (1 − share)⌋
  int64_t rest_of(int64_t n) const;
};

struct SelectionOptions {
  SelectionRule rule = SelectionRule::fisher_new;
  Granularity granularity = Granularity::element;
  Decimal frozen = {};              ///< the share that does not train; not of esft rules
  double top_p = 0;                 ///< esft: a layer's experts whose parts reach this sum, the largest ones first
  uint64_t seed = 0;                ///< random
  std::set<SpecialKind> also = {};  ///< train whole, beside what is chosen
  std::set<int64_t> layers = {};    ///< only of these there is a choice; empty: of all, and of what is in none
  bool choose = true;               ///< false: all that is in `layers` trains, and of special kinds those in `also`
};

}  // namespace switchyard
