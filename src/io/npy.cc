#include "io/npy.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/json.h"

namespace switchyard {
namespace {

static_assert(std::endian::native == std::endian::little, "read as little-endian");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint64_t kMaxNpyHeaderBytes = 65536;  // an array of integers needs about 100
constexpr size_t kConvertedBytes = size_t{1} << 16;

/// Reads the dictionary token by token.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string_view subject) : text_(text), rest_(text), subject_(subject) {}

  NpyHeader parse() {
    expect("{");
    while (!accept("}")) {
      const std::string_view key = string();
      expect(":");
      if (key == "descr" && !type_)
        type_ = string();
      else if (key == "fortran_order" && !fortran_)
        fortran_ = boolean();
      else if (key == "shape" && shape_.empty())
        shape();
      else
        refuse("an unknown or repeated key");
      if (!accept(",") && peek() != '}') refuse("no comma between two entries");
    }
    skip_space();
    if (!rest_.empty()) refuse("text after the dictionary");
    if (!type_ || !fortran_ || shape_.empty()) refuse("expected the keys descr, fortran_order and shape");
    return header();
  }

 private:
  [[noreturn]] void refuse(std::string_view why) const {
    fail(ExitCode::input, "{}: npy header {}: {}", subject_, brief(std::string(text_)), why);
  }

  void skip_space() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n\t\r"), rest_.size())); }

  char peek() {
    skip_space();
    return rest_.empty() ? '\0' : rest_.front();
  }

  bool accept(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) refuse(fmt::format("expected {}", token));
  }

  std::string_view string() {
    const char quote = peek();
    const size_t end = quote == '\'' || quote == '"' ? rest_.find(quote, 1) : rest_.npos;
    if (end == rest_.npos) refuse("expected a quoted string");
    const std::string_view value = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return value;
  }

  bool boolean() {
    if (accept("True")) return true;
    if (accept("False")) return false;
    refuse("fortran_order: expected True or False");
  }

  void shape() {
    expect("(");
    while (!accept(")")) {
      skip_space();
      int64_t extent = -1;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), extent);
      if (error != std::errc{} || extent < 0) refuse("shape: expected integers from 0 to 2^63 - 1");
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      shape_.push_back(extent);
      if (!accept(",") && peek() != ')') refuse("shape: expected a comma");
    }
    if (shape_.size() != 1) refuse("expected one dimension");
  }

  NpyHeader header() const {
    if (*fortran_) refuse("expected C order, found fortran_order True");
    const std::string_view t = *type_;
    const bool known = t.size() == 3 && (t[0] == '<' || (t[0] == '|' && t[2] == '1')) && (t[1] == 'i' || t[1] == 'u') &&
                       std::string_view("1248").find(t[2]) != std::string_view::npos;
    if (!known) refuse("expected little-endian integers, like '<i4'");
    return {static_cast<size_t>(t[2] - '0'), t[1] == 'i', shape_[0]};
  }

  std::string_view text_, rest_, subject_;
  std::optional<std::string_view> type_;
  std::optional<bool> fortran_;
  std::vector<int64_t> shape_;
};

template <class T>
void widen(std::span<const std::byte> bytes, std::span<int64_t> out, int64_t first, std::string_view subject) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
    if (!std::in_range<int64_t>(value))
      fail(ExitCode::input, "{}: element {}: expected at most 2^63 - 1, found {}", subject,
           first + static_cast<int64_t>(i), value);
    out[i] = static_cast<int64_t>(value);
  }
}

using Widen = void (*)(std::span<const std::byte>, std::span<int64_t>, int64_t, std::string_view);

Widen widen_of(const NpyHeader& header) {
  switch (header.item_bytes) {
    case 1:
      return header.is_signed ? widen<int8_t> : widen<uint8_t>;
    case 2:
      return header.is_signed ? widen<int16_t> : widen<uint16_t>;
    case 4:
      return header.is_signed ? widen<int32_t> : widen<uint32_t>;
    default:
      return header.is_signed ? widen<int64_t> : widen<uint64_t>;
  }
}

}  // namespace

NpyHeader parse_npy_header(std::string_view text, std::string_view subject) {
  return HeaderParser(text, subject).parse();
}

NpyArray::NpyArray(const std::filesystem::path& path) : file_(path) {
  const std::string subject = path.string();
  const uint64_t prefix_bytes = kMagic.size() + 2;  // then the length: u16 in version 1, u32 after
  std::string prefix(std::min(file_.size(), prefix_bytes), '\0');
  file_.read(0, std::as_writable_bytes(std::span(prefix)));
  if (prefix.size() < prefix_bytes || !prefix.starts_with(kMagic))
    fail(ExitCode::input, "{}: not an npy file (it does not begin with \\x93NUMPY and a version)", subject);
  const auto major = static_cast<unsigned char>(prefix[6]), minor = static_cast<unsigned char>(prefix[7]);
  if (major < 1 || major > 3 || minor != 0)
    fail(ExitCode::input, "{}: npy version {}.{}: expected 1.0, 2.0 or 3.0", subject, major, minor);

  const uint64_t length_bytes = major == 1 ? 2 : 4;
  uint32_t length = 0;
  file_.read(prefix_bytes, std::as_writable_bytes(std::span(&length, 1)).first(length_bytes));
  data_start_ = prefix_bytes + length_bytes + length;
  if (length > kMaxNpyHeaderBytes || data_start_ > file_.size())
    fail(ExitCode::input, "{}: npy header of {} bytes in a file of {} bytes", subject, length, file_.size());
  std::string text(length, '\0');
  file_.read(prefix_bytes + length_bytes, std::as_writable_bytes(std::span(text)));
  header_ = parse_npy_header(text, subject);

  const uint64_t data_bytes = file_.size() - data_start_;
  if (data_bytes % header_.item_bytes != 0 ||
      data_bytes / header_.item_bytes != static_cast<uint64_t>(header_.elements))
    fail(ExitCode::input, "{}: {} elements of {} bytes: expected as many in the file, found {} bytes", subject,
         header_.elements, header_.item_bytes, data_bytes);
}

void NpyArray::read(int64_t first, std::span<int64_t> out) const {
  SWITCHYARD_CHECK(first >= 0 && first <= size() && std::cmp_less_equal(out.size(), size() - first),
                   "elements {} + {} of {}", first, out.size(), size());
  const Widen widen = widen_of(header_);
  const size_t block_elements = std::min(kConvertedBytes / header_.item_bytes, out.size());
  std::vector<std::byte> block(block_elements * header_.item_bytes);
  while (!out.empty()) {
    const size_t count = std::min(block_elements, out.size());
    const auto bytes = std::span(block).first(count * header_.item_bytes);
    file_.read(data_start_ + static_cast<uint64_t>(first) * header_.item_bytes, bytes);
    widen(bytes, out.first(count), first, file_.path().string());
    out = out.subspan(count);
    first += static_cast<int64_t>(count);
  }
}

}  // namespace switchyard
