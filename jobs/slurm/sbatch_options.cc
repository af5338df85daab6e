#include "jobs/slurm/sbatch_options.h"

#include <algorithm>
#include <cctype>

#include "base/error.h"
#include "io/json.h"
#include "jobs/slurm/batch_script.h"

namespace switchyard {
namespace {

constexpr std::string_view kFlags = "HIOQVhsvW";  // short options without a value, which others may follow in one word

/// The value that stands in an option's own word. Empty: it is the next word; nothing: another option.
std::optional<std::string> value_in(const std::string& word, const SbatchOption& option) {
  if (word.starts_with("--")) {
    const size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(2, equals == word.npos ? equals : equals - 2);
    if (name.size() < option.least || !option.name.starts_with(name)) return std::nullopt;
    return equals == word.npos ? std::string() : word.substr(equals + 1);
  }
  if (!word.starts_with('-') || option.letter == '\0') return std::nullopt;
  const size_t letter = word.find_first_not_of(kFlags, 1);
  if (letter == word.npos || word[letter] != option.letter) return std::nullopt;
  return word.substr(letter + 1);
}

}  // namespace

SbatchOptions::SbatchOptions(std::span<const std::string> words) : words_(words.begin(), words.end()) {
  if (!words_.empty() && !words_.front().starts_with('-'))
    fail(ExitCode::usage, "submit: after --: expected an option of sbatch, found {}", brief(Json(words_.front())));
  for (const std::string& word : words_) check_sbatch_value("after --", word, kMaxSlurmWord);
}

void SbatchOptions::add(const std::string& word) {
  check_sbatch_value("after --", word, kMaxSlurmWord);
  words_.push_back(word);
}

std::vector<std::string> SbatchOptions::lines() const {
  std::vector<std::string> lines;
  for (const std::string& word : words_) {
    if (word.starts_with('-')) {
      lines.push_back(sbatch_word(word));
    } else {
      lines.back() += " " + sbatch_word(word);
    }
  }
  return lines;
}

std::optional<std::string> SbatchOptions::value_of(const SbatchOption& option) const {
  std::optional<std::string> value;
  for (size_t i = 0; i < words_.size(); ++i) {
    const std::optional<std::string> found = value_in(words_[i], option);
    if (!found) continue;
    const bool is_next = found->empty() && i + 1 < words_.size() && !words_[i + 1].starts_with('-');
    value = is_next ? words_[i + 1] : *found;
  }
  return value;
}

void check_sbatch_value(std::string_view subject, std::string_view value, size_t max_bytes) {
  if (value.size() > max_bytes)
    fail(ExitCode::usage, "submit: {}: expected at most {} bytes, found {}", subject, max_bytes, value.size());
  if (std::ranges::any_of(value, [](unsigned char c) { return std::iscntrl(c) != 0; }))
    fail(ExitCode::usage, "submit: {}: expected one line without control characters, found {}", subject,
         brief(Json(value)));
}

std::string sbatch_word(const std::string& text) {
  std::string escaped;
  for (const char c : text) escaped += c == '\\' ? "\\\\" : std::string(1, c);
  return shell_word(escaped);
}

}  // namespace switchyard
