// What lm-evaluation-harness makes of texts (tests/data/lm_eval/make_golden.py).
#pragma once

#include <string>
#include <vector>

#include "io/file.h"
#include "io/json.h"

namespace switchyard::test {

/// Random weights, Qwen's kind of tokenizer.
inline constexpr const char* kLmEvalModel = SWITCHYARD_TEST_DATA "/lm_eval/model";

inline Json lm_eval_golden() {
  const std::string path = SWITCHYARD_TEST_DATA "/lm_eval/golden.json";
  return parse_json(read_text_file(path), path);
}

/// All requests of a multiple-choice task, in its order.
inline std::vector<Json> requests_of(const Json& items) {
  std::vector<Json> requests;
  for (const Json& item : items)
    for (const char* condition : {"conditional", "unconditional"})
      requests.insert(requests.end(), item.at(condition).begin(), item.at(condition).end());
  return requests;
}

/// JSON Lines of these fields.
inline std::string lines_of(const std::vector<Json>& records, const std::vector<std::string>& fields) {
  std::string lines;
  for (const Json& record : records) {
    Json line;
    for (const std::string& field : fields) line[field] = record.at(field);
    lines += line.dump() + '\n';
  }
  return lines;
}

inline std::string request_lines(const std::vector<Json>& requests) {
  return lines_of(requests, {"context", "continuation"});
}

}  // namespace switchyard::test
