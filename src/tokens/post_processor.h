// What comes around a text's tokens: the post-processor TemplateProcessing (of a single text), ByteLevel (nothing), and
// sequences of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"

namespace switchyard {

class PostProcessor {
 public:
  PostProcessor() = default;  ///< adds nothing
  /// Fails (input) with `subject` for what is not supported, naming it. `component` may be null.
  PostProcessor(const Json& component, const std::string& subject);

  std::vector<int32_t> process(const std::vector<int32_t>& ids) const;
  std::optional<int32_t> first() const;  ///< the token that it puts before every text
  std::optional<int32_t> last() const;   ///< and behind it

 private:
  void add(const Json& component, const std::string& subject);
  static constexpr int32_t kText = -1;
  std::vector<int32_t> template_{kText};  ///< ids, and where the text's are
  bool has_template_ = false;
};

}  // namespace switchyard
