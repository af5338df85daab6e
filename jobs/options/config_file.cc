#include "jobs/options/config_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "base/text.h"

namespace switchyard {
namespace {

constexpr size_t kMostConfigBytes = size_t{1} << 24;

struct Escape {
  char letter, meaning;
};
constexpr Escape kEscapes[] = {{'n', '\n'}, {'t', '\t'}, {'r', '\r'}, {'v', '\v'},  {'f', '\f'},
                               {'a', '\a'}, {'b', '\b'}, {'"', '"'},  {'\\', '\\'}, {'\'', '\''}};

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/// A value in quotes, from behind the opening one. What follows the closing one is left in `rest`.
class QuotedValue {
 public:
  QuotedValue(std::string_view rest, std::string_view place) : rest_(rest), place_(place) {}

  std::string read() {
    std::string value;
    while (true) {
      if (rest_.empty()) fail(ExitCode::usage, "{}: the quote does not end", place_);
      const char c = take();
      if (c == '"') return value;
      value += c == '\\' ? escape() : c;
    }
  }
  std::string_view rest() const { return rest_; }

 private:
  char take() {
    const char c = rest_.front();
    rest_.remove_prefix(1);
    return c;
  }

  char escape() {
    if (rest_.empty()) fail(ExitCode::usage, "{}: the quote does not end", place_);
    if (digit(rest_.front()) < 8) return number(8, 3);
    const char letter = take();
    if (letter == 'x') return number(16, 2);
    for (const Escape& known : kEscapes)
      if (known.letter == letter) return known.meaning;
    fail(ExitCode::usage, "{}: \\{} is no escape of C", place_, letter);
  }

  char number(int base, int max_digits) {
    int value = 0, digits = 0;
    for (; digits < max_digits && !rest_.empty() && digit(rest_.front()) < base; ++digits)
      value = value * base + digit(take());
    if (digits == 0 || value == 0 || value > 0xff)
      fail(ExitCode::usage, "{}: an escape stands for a byte from \\1 to \\xff", place_);
    return static_cast<char>(value);
  }

  std::string_view rest_, place_;
};

std::string parse_value(std::string_view text, std::string_view place) {
  if (!text.starts_with('"')) return std::string(trimmed(text.substr(0, text.find('#'))));
  QuotedValue quoted(text.substr(1), place);
  std::string value = quoted.read();
  if (const auto rest = trimmed(quoted.rest()); !rest.empty() && rest.front() != '#')
    fail(ExitCode::usage, "{}: \"{}\" stands behind the closing quote", place, rest);
  return value;
}

/// A list, from behind its opening bracket.
class ListValue {
 public:
  ListValue(std::string_view rest, std::string_view place) : rest_(rest), place_(place) {}

  std::vector<std::vector<std::string>> read() {
    std::vector<std::vector<std::string>> items;
    each_item([&] {
      if (!take('[')) return items.push_back({word()});
      std::vector<std::string> words;
      each_item([&] { words.push_back(word()); });
      items.push_back(std::move(words));
    });
    if (const char next = peek(); next != '\0' && next != '#')
      fail(ExitCode::usage, "{}: \"{}\" stands behind the list", place_, rest_);
    return items;
  }

 private:
  /// The next character that is no blank; NUL at the end.
  char peek() {
    rest_ = trimmed(rest_);
    return rest_.empty() ? '\0' : rest_.front();
  }
  bool take(char c) {
    if (peek() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  template <class ReadItem>
  void each_item(const ReadItem& read_item) {
    if (take(']')) return;
    do read_item();
    while (take(','));
    if (!take(']')) fail(ExitCode::usage, "{}: the list does not end with ]", place_);
  }

  std::string word() {
    if (take('"')) {
      QuotedValue quoted(rest_, place_);
      std::string value = quoted.read();
      rest_ = quoted.rest();
      return value;
    }
    peek();
    const std::string_view word = trimmed(rest_.substr(0, rest_.find_first_of(",]#")));
    if (word.empty()) fail(ExitCode::usage, "{}: an item of the list is missing", place_);
    rest_.remove_prefix(std::min(rest_.size(), rest_.find_first_of(",]#")));
    return std::string(word);
  }

  std::string_view rest_, place_;
};

bool needs_quotes(std::string_view value) {
  const auto special = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '#' || c == '"'; };
  for (const char c : value)
    if (special(c)) return true;
  return value.empty() || trimmed(value) != value;
}

}  // namespace

std::vector<ConfigLine> parse_config(std::string_view text, std::string_view subject) {
  std::vector<ConfigLine> lines;
  int number = 0;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  while (!text.empty()) {
    const std::string_view line = trimmed(text.substr(0, text.find('\n')));
    text.remove_prefix(std::min(text.size(), text.find('\n') == text.npos ? text.size() : text.find('\n') + 1));
    const std::string place = fmt::format("{}, line {}", subject, ++number);
    if (line.find('\0') != line.npos) fail(ExitCode::usage, "{}: holds a NUL byte", place);
    if (line.empty() || line.front() == '#') continue;
    const size_t equals = line.find('=');
    if (equals == line.npos || line.find('#') < equals)
      fail(ExitCode::usage, "{}: expected name = value, found \"{}\"", place, line);
    const std::string_view written = trimmed(line.substr(equals + 1));
    // A list's quotes are its own.
    lines.push_back(
        {std::string(trimmed(line.substr(0, equals))), parse_value(written, place), std::string(written), number});
  }
  return lines;
}

std::optional<std::vector<std::vector<std::string>>> parse_list(std::string_view written, std::string_view place) {
  if (!written.starts_with('[')) return std::nullopt;
  return ListValue(written.substr(1), place).read();
}

std::string read_config(const std::string& path, std::string_view subject) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    fail(ExitCode::usage, "{} {}: is a directory, expected a file", subject, path);
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text;  // little by little, for it may be a pipe
  for (char block[4096]; text.size() <= kMostConfigBytes && file;) {
    file.read(block, sizeof block);
    text.append(block, static_cast<size_t>(file.gcount()));
  }
  if (!file.is_open() || file.bad())
    fail(ExitCode::usage, "{} {}: cannot be read: {}", subject, path, std::strerror(errno));
  if (text.size() > kMostConfigBytes)
    fail(ExitCode::usage, "{} {}: expected lines of name = value, at most {} bytes, found more", subject, path,
         kMostConfigBytes);
  return text;
}

std::string config_line(std::string_view name, std::string_view value) {
  if (!needs_quotes(value)) return fmt::format("{} = {}\n", name, value);
  std::string quoted;
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      quoted += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      quoted += c == '\n' ? "\\n" : c == '\t' ? "\\t" : fmt::format("\\{:03o}", static_cast<unsigned char>(c));
    } else {
      quoted += c;
    }
  }
  return fmt::format("{} = \"{}\"\n", name, quoted);
}

}  // namespace switchyard
