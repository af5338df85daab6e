#include "tests/tokens/fixtures.h"

#include <sstream>

#include "io/json.h"

namespace switchyard::tests {

std::vector<Reference> read_references(const std::string& lines, bool plain_is_there) {
  std::vector<Reference> references;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) {
    const Json json = parse_json(line, "reference");
    Reference reference;
    json.at("text").get_to(reference.text);
    json.at("ids").get_to(reference.ids);
    reference.ids_special = json.value("ids_special", reference.ids);
    if (plain_is_there) reference.ids_plain = json.value("ids_plain", reference.ids);
    if (json.contains("decoded")) reference.decoded = json.at("decoded").get<std::string>();
    references.push_back(std::move(reference));
  }
  return references;
}

void expect_references(const HfTokenizer& tokenizer, const std::vector<Reference>& references) {
  for (const Reference& reference : references) {
    std::vector<int32_t> ids;
    tokenizer.encode(reference.text, ids, {});
    EXPECT_EQ(ids, reference.ids) << tokenizer.name() << ": " << reference.text.substr(0, 200);
    const TokenFrame frame = tokenizer.frame();
    std::vector<int32_t> framed = frame.before;
    framed.insert(framed.end(), ids.begin(), ids.end());
    framed.insert(framed.end(), frame.behind.begin(), frame.behind.end());
    EXPECT_EQ(framed, reference.ids_special) << tokenizer.name() << ": " << reference.text.substr(0, 200);
    if (reference.decoded) {
      EXPECT_EQ(tokenizer.decode(reference.ids_special), *reference.decoded) << tokenizer.name();
    }
    if (!reference.ids_plain) continue;
    std::vector<int32_t> plain;
    const int64_t left = tokenizer.encode(reference.text, plain, {.special_in_text = false});
    EXPECT_EQ(plain, *reference.ids_plain) << tokenizer.name() << ": " << reference.text.substr(0, 200);
    EXPECT_TRUE(left > 0 || plain == ids) << reference.text.substr(0, 200);
  }
}

}  // namespace switchyard::tests
