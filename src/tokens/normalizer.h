// What a text becomes before it is split: the normalizers NFC, Prepend and Replace, and sequences of them.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"
#include "tokens/pattern.h"

namespace switchyard {

struct NormalizerScratch {
  std::string now, next;
  std::vector<Span> spans;
};

class Normalizer {
 public:
  /// Fails (input) with `subject` for what is not supported, naming it. `component` may be null.
  Normalizer(const Json& component, const std::string& subject);
  Normalizer() = default;  ///< leaves all as it is

  /// Of a text that is UTF-8; the result is the text itself or in `scratch`.
  std::string_view normalize(std::string_view text, NormalizerScratch& scratch) const;
  bool is_empty() const { return steps_.empty(); }
  /// Whether the result's first character may count as another place than the text's first, as Hugging Face keeps
  /// places.
  bool moves_start() const;

  class Step;

 private:
  void add(const Json& component, const std::string& subject);
  std::vector<std::shared_ptr<const Step>> steps_;
};

}  // namespace switchyard
