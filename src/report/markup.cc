#include "report/markup.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/numbers.h"

namespace switchyard::report {
namespace {

constexpr size_t kMostBytes = 2000;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

unsigned char byte_at(std::string_view text, size_t at) {
  return at < text.size() ? static_cast<unsigned char>(text[at]) : 0;
}

/// Bytes of the well-formed character at `at`; 0: there is none (Unicode, table 3-7).
size_t character_length(std::string_view text, size_t at) {
  const unsigned char lead = byte_at(text, at), second = byte_at(text, at + 1);
  if (lead < 0x80) return 1;
  const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte_at(text, at + i) & 0xC0) != 0x80) return 0;
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second > 0x9F, beyond = lead == 0xF4 && second > 0x8F;
  return overlong || surrogate || beyond ? 0 : length;
}

void append_ascii(std::string& out, char ch) {
  switch (ch) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      if ((static_cast<unsigned char>(ch) < 0x20 && ch != '\n' && ch != '\t') || ch == 0x7F)
        out += kReplacement;
      else
        out += ch;
  }
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (at >= kMostBytes) return out + "…";
    const size_t length = character_length(text, at);
    if (length == 0)
      out += kReplacement;
    else if (length == 1)
      append_ascii(out, text[at]);
    else
      out += text.substr(at, length);
    at += std::max<size_t>(length, 1);
  }
  return out;
}

size_t num_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char ch) { return (ch & 0xC0) != 0x80; }));
}

std::string coordinate(double value) {
  std::string digits = fmt::format("{:.3f}", value);
  digits.erase(digits.find_last_not_of('0') + 1);
  if (digits.back() == '.') digits.pop_back();
  return digits == "-0" ? "0" : digits;
}

std::string percent(double fraction) {
  return coordinate(100 * fraction) + "%";
}

std::string plural(long long count, std::string_view noun) {
  return fmt::format("{} {}{}", fixed(static_cast<double>(count), 0), noun, count == 1 ? "" : "s");
}

}  // namespace switchyard::report
