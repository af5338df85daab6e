// How parse_json builds a document, for readers of files whose bulk is not to become one.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "io/json.h"

namespace switchyard {

/// nlohmann's own builder looks every key up in its object, quadratic in the number of keys, and keeps the last of two
/// equal keys; here keys are appended and compared once, when their object ends. A derived class may keep what it is
/// given from the document: what it does not pass on is not there.
class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit JsonBuilder(std::string_view text) : text_(text) {}

  Json& root() { return root_; }
  const std::string& error() const { return error_; }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t&) override { return refuse("binary values are not JSON"); }
  bool start_object(size_t) override;
  bool start_array(size_t) override;
  bool key(string_t& value) override {
    key_ = std::move(value);
    return true;
  }
  bool end_object() override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) override;

 protected:
  size_t depth() const { return open_.size(); }
  const std::string& last_key() const { return key_; }
  bool refuse(std::string why);  ///< false: the parser stops, and parse_json fails with the reason

 private:
  Json* put(Json&& value);
  bool add(Json&& value);
  bool open(Json&& container);
  bool close();

  std::string_view text_;
  Json root_;
  /// Containers not yet ended; a container's address is stable while only its last child grows.
  std::vector<Json*> open_;
  std::string key_, error_;
};

/// As parse_json(text, subject), by a builder of this text.
Json parse_json(std::string_view text, std::string_view subject, JsonBuilder& builder);

}  // namespace switchyard
