#include "io/foreign_file.h"

#include <algorithm>

namespace switchyard {
namespace {

constexpr std::string_view kWhitespace = " \t\r\n";
constexpr size_t kQuotedBytes = 40;
constexpr std::string_view kDownload = "download the file again", kDecompress = "decompress it";

struct Kind {
  Content content;
  std::string_view name;
  std::string_view advice;  ///< for a part of a model
};
constexpr Kind kKinds[] = {
    {Content::empty, "an empty file", kDownload},
    {Content::zeros, "zeros", "an unfinished download"},
    {Content::hdf5, "an HDF5 file", {}},
    {Content::gzip, "gzip data", kDecompress},
    {Content::zstd, "Zstandard data", kDecompress},
    {Content::xz, "xz data", kDecompress},
    {Content::bzip2, "bzip2 data", kDecompress},
    {Content::zip, "a zip archive", "if it is a PyTorch pickle (.bin, .pt), convert the model to safetensors"},
    {Content::pickle, "a PyTorch pickle (.bin, .pt)", "convert the model to safetensors"},
    {Content::parquet, "a Parquet file", {}},
    {Content::arrow, "an Arrow file", {}},
    {Content::numpy, "a NumPy array", {}},
    {Content::gguf, "a GGUF file", "the model is needed as safetensors, in F32, BF16 or F16"},
    {Content::markup, "an HTML or XML page, perhaps of a failed log-in or download", kDownload},
    {Content::json, "JSON text", {}},
    {Content::text, "text", {}},
    {Content::unknown, "something else", {}},
};

struct Signature {
  std::string_view bytes;
  Content content;
};
constexpr Signature kSignatures[] = {
    {"\x89HDF\r\n", Content::hdf5}, {"\x1f\x8b", Content::gzip},  {"\x28\xb5\x2f\xfd", Content::zstd},
    {"\xfd\x37zXZ", Content::xz},   {"PK\x03\x04", Content::zip}, {"\x80\x02", Content::pickle},
    {"\x80\x04", Content::pickle},  {"PAR1", Content::parquet},   {"ARROW1", Content::arrow},
    {"\x93NUMPY", Content::numpy},  {"GGUF", Content::gguf},
};

const Kind& kind_of(Content content) {
  return *std::find_if(std::begin(kKinds), std::end(kKinds), [&](const Kind& kind) { return kind.content == content; });
}

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

/// UTF-8, perhaps cut off at the end, without control characters.
bool is_text(std::string_view bytes) {
  const auto is_control = [](char c) {
    return static_cast<unsigned char>(c) < 0x20 && kWhitespace.find(c) == kWhitespace.npos;
  };
  if (std::any_of(bytes.begin(), bytes.end(), is_control)) return false;
  for (size_t cut = 0; cut < 4 && cut < bytes.size(); ++cut)
    if (is_utf8(bytes.substr(0, bytes.size() - cut))) return true;
  return false;
}

}  // namespace

Content content_of(std::string_view head) {
  if (head.empty()) return Content::empty;
  for (const Signature& signature : kSignatures)
    if (head.starts_with(signature.bytes)) return signature.content;
  if (head.starts_with("BZh") && head.substr(std::min<size_t>(4, head.size())).starts_with("1AY&SY"))
    return Content::bzip2;
  if (head.find_first_not_of('\0') == head.npos) return Content::zeros;
  if (is_markup(head)) return Content::markup;
  if (!is_text(head)) return Content::unknown;
  return without_leading_space(head).starts_with('{') ? Content::json : Content::text;
}

std::string_view name_of(Content content) {
  return kind_of(content).name;
}

std::string describe_foreign(std::string_view head) {
  const Content content = content_of(head);
  if (content == Content::unknown) return {};
  if (content == Content::text || content == Content::json)
    return fmt::format("text that begins with {}", brief(std::string(head.substr(0, kQuotedBytes))));
  const Kind& kind = kind_of(content);
  return fmt::format("{}{}{}", kind.name, kind.advice.empty() ? "" : ": ", kind.advice);
}

std::string head_of(const InputFile& file) {
  std::string head(std::min<uint64_t>(kHeadBytes, file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(head)));
  return head;
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
