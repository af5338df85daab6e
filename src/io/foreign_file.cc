#include "io/foreign_file.h"

#include <algorithm>

#include "io/file.h"

namespace switchyard {
namespace {

constexpr std::string_view kWhitespace = " \t\r\n";
constexpr size_t kQuotedBytes = 40;

struct Signature {
  std::string_view bytes, what;
};
constexpr std::string_view kPickle = "a PyTorch pickle (.bin, .pt): convert the model to safetensors";
constexpr Signature kSignatures[] = {
    {"PK\x03\x04", kPickle},
    {"\x80\x02", kPickle},
    {"\x80\x04", kPickle},
    {"GGUF", "a GGUF file: the model is needed as safetensors, in F32, BF16 or F16"},
    {"\x89HDF\r\n", "an HDF5 file"},
    {"\x1f\x8b", "gzip-compressed data: decompress it"},
    {"\x28\xb5\x2f\xfd", "zstd-compressed data: decompress it"},
};

std::string_view without_leading_space(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kWhitespace), text.size()));
  return text;
}

bool is_markup(std::string_view text) {
  std::string start(without_leading_space(text).substr(0, 9));
  for (char& c : start)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return start == "<!doctype" || start.starts_with("<html") || start.starts_with("<?xml");
}

bool is_text(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](char c) { return (c >= 0x20 && c < 0x7f) || kWhitespace.find(c) != kWhitespace.npos; });
}

}  // namespace

std::string describe_foreign(std::string_view head) {
  if (head.empty()) return "an empty file: download it again";
  for (const Signature& signature : kSignatures)
    if (head.starts_with(signature.bytes)) return std::string(signature.what);
  if (head.find_first_not_of('\0') == head.npos) return "zeros: an unfinished download";
  if (is_markup(head)) return "an HTML or XML page, perhaps of a failed log-in or download: download the file again";
  if (is_text(head)) return fmt::format("text that begins with {}", brief(std::string(head.substr(0, kQuotedBytes))));
  return {};
}

Json read_json_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const std::string text = read_text_file(path, max_bytes);
  if (const std::string_view start = without_leading_space(text).substr(0, kQuotedBytes);
      !start.starts_with('{') && !start.starts_with('['))
    if (const std::string what = describe_foreign(start); !what.empty())
      fail(ExitCode::input, "{}: expected JSON, found {}", path.native(), what);
  return parse_json(text, path.native());
}

}  // namespace switchyard
