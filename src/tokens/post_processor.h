// What comes around a text's tokens: the post-processor TemplateProcessing (of a single text), ByteLevel (nothing), and
// sequences of them.
#pragma once

#include <string>

#include "io/json.h"
#include "tokens/tokenizer.h"

namespace switchyard {

class PostProcessor {
 public:
  PostProcessor() = default;  ///< adds nothing
  /// Fails (input) with `subject` for what is not supported, naming it. `component` may be null.
  PostProcessor(const Json& component, const std::string& subject);

  const TokenFrame& frame() const { return frame_; }

 private:
  void add(const Json& component, const std::string& subject);
  TokenFrame frame_;
  bool has_template_ = false;
};

}  // namespace switchyard
