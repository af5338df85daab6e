#include "io/file_kind.h"

#include <algorithm>

#include "io/file.h"

namespace switchyard {
namespace {

struct Signature {
  std::string_view bytes, kind;
};
// A string_view of a literal with a NUL inside needs its length.
constexpr Signature kSignatures[] = {
    {std::string_view("\x89HDF\r\n\x1a\n", 8), "an HDF5 file"},
    {kGzipMagic, "gzip data"},
    {std::string_view("\x28\xb5\x2f\xfd", 4), "Zstandard data"},
    {std::string_view("\xfd\x37zXZ\0", 6), "xz data"},
    {std::string_view("PK\x03\x04", 4), "a zip archive"},
    {std::string_view("PAR1", 4), "a Parquet file"},
    {std::string_view("ARROW1", 6), "an Arrow file"},
    {std::string_view("\x93NUMPY", 6), "a NumPy array"},
    {std::string_view("GGUF", 4), "a GGUF model"},
    {std::string_view("\x80\x02", 2), "a Python pickle"},
    {std::string_view("version https://git-lfs.github.com/", 35), "a Git LFS pointer, not the file itself"},
};

bool starts_with_any_case(std::string_view text, std::string_view lower) {
  return text.size() >= lower.size() && std::equal(lower.begin(), lower.end(), text.begin(), [](char expected, char c) {
           return expected == (c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c);
         });
}

}  // namespace

std::string_view describe_content(std::string_view head) {
  for (const Signature& signature : kSignatures)
    if (head.starts_with(signature.bytes)) return signature.kind;
  if (head.starts_with("BZh") && head.substr(std::min<size_t>(4, head.size())).starts_with("1AY&SY"))
    return "bzip2 data";
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  head.remove_prefix(std::min(head.find_first_not_of(" \t\r\n"), head.size()));
  if (starts_with_any_case(head, "<!doctype html") || starts_with_any_case(head, "<html")) return "an HTML page";
  if (head.starts_with('{')) return "JSON text";
  if (!head.empty() && head.find('\0') == head.npos) return "text";
  return {};
}

std::string read_file_head(const std::filesystem::path& path) {
  const InputFile file(path);
  std::string head(std::min<uint64_t>(kFileHeadBytes, file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(head)));
  return head;
}

}  // namespace switchyard
