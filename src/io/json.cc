#include "io/json.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "io/json_builder.h"

namespace switchyard {
namespace {

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxMessageBytes = 200;
constexpr size_t kMaxBriefBytes = 60;

/// Text of unknown origin made fit for one line of a log.
std::string printable(std::string_view text, size_t max_bytes) {
  std::string out(text.substr(0, max_bytes));
  for (char& c : out)
    if (c < 0x20 || c == 0x7f) c = '?';  // also every byte above 0x7f: char is signed
  if (text.size() > max_bytes) out += "...";
  return out;
}

constexpr std::string_view kPythonNumbers[] = {"NaN", "Infinity"};

/// "column 3", and the line where there are several. position: bytes up to and with the one in question.
std::string place_in(std::string_view text, size_t position) {
  const std::string_view before = text.substr(0, position);
  const size_t line_start = before.rfind('\n') + 1;  // npos + 1 = 0
  const std::string column = fmt::format("column {}", before.size() - line_start);
  if (text.find('\n') == text.npos) return column;
  return fmt::format("line {}, {}", std::count(before.begin(), before.end(), '\n') + 1, column);
}

const std::string* duplicate_key(const Json::object_t& members) {
  std::vector<const std::string*> keys;
  keys.reserve(members.size());
  for (const auto& [key, value] : members) keys.push_back(&key);
  std::sort(keys.begin(), keys.end(), [](const auto* a, const auto* b) { return *a < *b; });
  const auto at = std::adjacent_find(keys.begin(), keys.end(), [](const auto* a, const auto* b) { return *a == *b; });
  return at == keys.end() ? nullptr : *at;
}

}  // namespace

bool JsonBuilder::start_object(size_t) {
  return open(Json::object());
}
bool JsonBuilder::start_array(size_t) {
  return open(Json::array());
}

bool JsonBuilder::end_object() {
  const std::string* duplicate = duplicate_key(open_.back()->get_ref<const Json::object_t&>());
  if (duplicate != nullptr) return refuse(fmt::format("duplicate key {}", brief(*duplicate)));
  return close();
}

bool JsonBuilder::end_array() {
  return close();
}

bool JsonBuilder::parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) {
  for (const std::string_view word : kPythonNumbers)
    if (position > 0 && text_.substr(position - 1).starts_with(word))
      return refuse(fmt::format("{}: {}, which Python's json writes, is no JSON: expected a finite number",
                                place_in(text_, position), word));
  std::string_view what = e.what();  // "[json.exception.parse_error.101] parse error at line 1, column 2: …"
  for (const std::string_view prefix : {"] ", ": "})
    if (const size_t at = what.find(prefix); at != what.npos) what.remove_prefix(at + prefix.size());
  return refuse(fmt::format("{}: {}", place_in(text_, position), printable(what, kMaxMessageBytes)));
}

Json* JsonBuilder::put(Json&& value) {
  if (open_.empty()) return &(root_ = std::move(value));
  if (open_.back()->is_array()) return &open_.back()->get_ref<Json::array_t&>().emplace_back(std::move(value));
  auto& members = open_.back()->get_ref<Json::object_t&>();
  return &members.emplace_back(std::move(key_), std::move(value)).second;
}

bool JsonBuilder::add(Json&& value) {
  put(std::move(value));
  return true;
}

bool JsonBuilder::open(Json&& container) {
  if (open_.size() == kMaxDepth) return refuse(fmt::format("nesting deeper than {}", kMaxDepth));
  open_.push_back(put(std::move(container)));
  return true;
}

bool JsonBuilder::close() {
  open_.pop_back();
  return true;
}

bool JsonBuilder::refuse(std::string why) {
  error_ = std::move(why);
  return false;
}

namespace {

const Json& require(const Json& object, std::string_view field, std::string_view subject, std::string_view expected) {
  if (!object.is_object())
    fail(ExitCode::input, "{}: expected an object with field \"{}\", found {}", subject, field, brief(object));
  const Json* value = find_field(object, field);
  if (value == nullptr) fail(ExitCode::input, "{}: field \"{}\" is missing (expected {})", subject, field, expected);
  return *value;
}

[[noreturn]] void wrong_type(std::string_view subject, std::string_view field, std::string_view expected,
                             const Json& found) {
  fail(ExitCode::input, "{}: field \"{}\": expected {}, found {}", subject, field, expected, brief(found));
}

/// An integer literal that an int64_t holds; 1.0 and 2^63 are none.
bool is_int64(const Json& value) {
  if (value.is_number_unsigned()) return std::in_range<int64_t>(value.get<uint64_t>());
  return value.is_number_integer();
}

}  // namespace

Json parse_json(std::string_view text, std::string_view subject) {
  JsonBuilder builder(text);
  return parse_json(text, subject, builder);
}

Json parse_json(std::string_view text, std::string_view subject, JsonBuilder& builder) {
  // For nlohmann's lexer a NUL is the end of the text, and what follows would be lost.
  if (const size_t nul = text.find('\0'); nul != text.npos)
    fail(ExitCode::input, "{}: {}: a NUL byte is no JSON", subject, place_in(text, nul + 1));
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) fail(ExitCode::input, "{}: {}", subject, builder.error());
  return std::move(builder.root());
}

std::optional<Json> parse_json_if_whole(std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const Error&) {
    return std::nullopt;
  }
}

const Json* find_field(const Json& object, std::string_view field) {
  if (!object.is_object()) return nullptr;
  for (const auto& [key, value] : object.get_ref<const Json::object_t&>())
    if (key == field) return value.is_null() ? nullptr : &value;
  return nullptr;
}

double number_or_zero(const Json& object, std::string_view field) {
  const Json* value = find_field(object, field);
  return value != nullptr && value->is_number() ? value->get<double>() : 0.0;
}

int64_t require_int(const Json& object, std::string_view field, std::string_view subject, int64_t min, int64_t max) {
  const std::string expected = fmt::format("an integer in {} … {}", min, max);
  const Json& value = require(object, field, subject, expected);
  if (!is_int64(value) || value.get<int64_t>() < min || value.get<int64_t>() > max)
    wrong_type(subject, field, expected, value);
  return value.get<int64_t>();
}

bool require_bool(const Json& object, std::string_view field, std::string_view subject) {
  const Json& value = require(object, field, subject, "true or false");
  if (!value.is_boolean()) wrong_type(subject, field, "true or false", value);
  return value.get<bool>();
}

std::string require_string(const Json& object, std::string_view field, std::string_view subject) {
  const Json& value = require(object, field, subject, "a string");
  if (!value.is_string()) wrong_type(subject, field, "a string", value);
  return value.get<std::string>();
}

std::vector<int64_t> require_int_array(const Json& object, std::string_view field, std::string_view subject) {
  const Json& values = require(object, field, subject, "an array of integers");
  if (!values.is_array()) wrong_type(subject, field, "an array of integers", values);
  std::vector<int64_t> out;
  out.reserve(values.size());
  for (const Json& value : values) {
    if (!is_int64(value)) wrong_type(subject, fmt::format("{}[{}]", field, out.size()), "an integer", value);
    out.push_back(value.get<int64_t>());
  }
  return out;
}

std::string to_text(const Json& json, int indent) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json path_to_json(const std::string& path) {
  if (is_utf8(path)) return path;
  std::string hex;
  for (const char c : path) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return {{"bytes", hex}};
}

std::string path_to_text(const std::string& path) {
  const Json json = path_to_json(path);
  return json.is_string() ? path : json.dump();
}

std::string require_path(const Json& object, std::string_view field, std::string_view subject) {
  constexpr std::string_view kExpected = "a path, or {\"bytes\": \"hexadecimal digits\"}";
  const Json& value = require(object, field, subject, kExpected);
  if (value.is_string()) return value.get<std::string>();
  const Json* bytes = find_field(value, "bytes");
  std::string path;
  if (bytes != nullptr && bytes->is_string()) {
    const std::string_view hex = bytes->get_ref<const std::string&>();
    for (size_t i = 0; i + 1 < hex.size(); i += 2) {
      unsigned char byte = 0;
      const auto end = std::from_chars(hex.data() + i, hex.data() + i + 2, byte, 16).ptr;
      if (end != hex.data() + i + 2) break;
      path += static_cast<char>(byte);
    }
    if (2 * path.size() == hex.size()) return path;
  }
  wrong_type(subject, field, kExpected, value);
}

std::string brief(const Json& value) {
  if (value.is_object()) return fmt::format("an object of {} fields", value.size());
  if (value.is_array()) return fmt::format("an array of {}", value.size());
  if (!value.is_string()) return to_text(value);
  const auto& text = value.get_ref<const std::string&>();
  return Json(text.substr(0, kMaxBriefBytes)).dump(-1, ' ', true, Json::error_handler_t::replace) +
         (text.size() > kMaxBriefBytes ? "..." : "");
}

bool is_utf8(std::string_view text) {
  try {
    static_cast<void>(Json(text).dump());
    return true;
  } catch (const Json::exception&) {
    return false;
  }
}

}  // namespace switchyard
