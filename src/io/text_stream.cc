#include "io/text_stream.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "io/foreign_file.h"

namespace switchyard {
namespace {

constexpr size_t kInputBytes = uint64_t{1} << 18;
constexpr unsigned char kGzipStart = 0x1f;

}  // namespace

/// One gzip member after the other, as `cat a.gz b.gz` makes them.
class TextStream::Inflater {
 public:
  explicit Inflater(ByteStream& file) : file_(file) {
    // 16: gzip's header and checksum around the data
    if (::inflateInit2(&stream_, MAX_WBITS + 16) != Z_OK) fail(ExitCode::environment, "zlib cannot be started");
  }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  size_t read(std::span<char> out) {
    stream_.next_out = reinterpret_cast<Bytef*>(out.data());
    stream_.avail_out = static_cast<uInt>(out.size());
    while (stream_.avail_out > 0 && !ended_) {
      if (stream_.avail_in == 0) fill();
      if (between_members_ && !begin_member()) break;
      inflate_some();
    }
    return out.size() - stream_.avail_out;
  }

 private:
  void fill() {
    input_.resize(kInputBytes);
    input_.resize(file_.read(input_));
    stream_.next_in = reinterpret_cast<Bytef*>(input_.data());
    stream_.avail_in = static_cast<uInt>(input_.size());
  }

  /// False at the end of the file. Tapes and block devices pad with zeros.
  bool begin_member() {
    while (true) {
      for (; stream_.avail_in > 0 && *stream_.next_in == 0; ++stream_.next_in) --stream_.avail_in;
      if (stream_.avail_in > 0) break;
      fill();
      if (stream_.avail_in == 0) return ended_ = true, false;
    }
    if (*stream_.next_in != kGzipStart)
      fail(ExitCode::input, "{}: at byte {}, behind gzip data, something else than gzip data begins",
           file_.path().native(), consumed());
    between_members_ = false;
    return true;
  }

  void inflate_some() {
    const int code = ::inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_BUF_ERROR)  // there was room, so there was nothing to read
      fail(ExitCode::input, "{}: the gzip data is cut off after {} bytes", file_.path().native(), file_.position());
    if (code == Z_STREAM_END) {
      between_members_ = true;
      ::inflateReset(&stream_);
    } else if (code != Z_OK) {
      fail(ExitCode::input, "{}: damaged gzip data before byte {}: {}", file_.path().native(), consumed(),
           stream_.msg == nullptr ? "unknown error" : stream_.msg);
    }
  }

  uint64_t consumed() const { return file_.position() - stream_.avail_in; }

  ByteStream& file_;
  std::string input_;
  z_stream stream_{};
  bool between_members_ = false, ended_ = false;
};

TextStream::TextStream(const std::filesystem::path& path, std::function<void()> poll) : bytes_(path, std::move(poll)) {
  const Content content = content_of(bytes_.head());
  if (content == Content::empty && path.extension() == ".gz")
    fail(ExitCode::input, "{}: expected gzip data, found an empty file", path.native());
  if (content == Content::gzip) inflater_ = std::make_unique<Inflater>(bytes_);
  for (const Content other : {Content::zstd, Content::xz, Content::bzip2, Content::zip})
    if (content == other)
      fail(ExitCode::input, "{}: expected text, or text that gzip compressed, found {}: decompress it first",
           path.native(), name_of(content));
  start_.resize(kByteOrderMark.size());
  start_.resize(fetch(start_));
  if (start_ == kByteOrderMark) start_.clear();
  if (start_.starts_with("\xff\xfe") || start_.starts_with("\xfe\xff"))
    fail(ExitCode::input, "{}: expected text in UTF-8, found a byte order mark of UTF-16: convert it, as iconv does",
         path.native());
}

TextStream::~TextStream() = default;

size_t TextStream::fetch(std::span<char> out) {
  return inflater_ ? inflater_->read(out) : bytes_.read(out);
}

void TextStream::read(std::string& block) {
  const size_t begun = start_.copy(block.data(), block.size());
  start_.erase(0, begun);
  block.resize(begun + fetch(std::span(block).subspan(begun)));
}

}  // namespace switchyard
