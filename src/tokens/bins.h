// Numbers as tokens: a range in bins of equal width, each of which is a token.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tokens/tokenizer.h"

namespace switchyard {

/// A value's bin, and token, is ⌊(value − low) · count / (high − low)⌋. What lies below or above the range is in the
/// first or the last bin.
struct Bins {
  int64_t count = 0;
  double low = 0, high = 0;

  /// "bins:256:-7:-2": count, low, high. Empty: the text is of another kind. Fails (usage) where it is not what its
  /// beginning promises: 2 to 2^20 bins, low < high, both finite.
  static std::optional<Bins> parse(std::string_view text);
  std::string name() const;  ///< as parse() takes it; equal where the bins are

  double width() const { return (high - low) / static_cast<double>(count); }
  bool holds(double value) const { return value >= low && value < high; }
  int32_t of(double value) const;  ///< value: finite
  double middle(int64_t bin) const { return low + (static_cast<double>(bin) + 0.5) * width(); }
  /// The value below which the share `level` (0 to 1) of the distribution lies that has each bin's mass spread evenly
  /// over the bin: where its distribution function, a line within each bin, is `level`. mass: [count], not negative,
  /// their sum is positive; added up in order.
  double quantile(std::span<const double> mass, double level) const;
};

/// A number, and nothing else, as std::from_chars reads it; empty: it is none, or not finite.
std::optional<double> parse_number(std::string_view text);

/// Of texts that are numbers with blanks, commas or line ends between them.
class BinsTokenizer : public Tokenizer {
 public:
  explicit BinsTokenizer(const Bins& bins) : bins_(bins) {}
  std::string kind() const override { return bins_.name(); }
  std::string name() const override { return bins_.name(); }
  std::string hash() const override;
  int64_t encode(std::string_view text, std::vector<int32_t>& ids, const EncodeOptions& options = {}) const override;
  std::string decode(std::span<const int32_t> ids) const override;  ///< bins' middles, blanks between
  std::optional<std::string> piece(int32_t id) const override;      ///< a blank and its middle
  std::optional<int32_t> id_of(std::string_view token) const override;
  int64_t vocabulary_size() const override { return bins_.count; }

 private:
  const Bins bins_;
};

}  // namespace switchyard
