#include "io/text_stream.h"

#include <zlib.h>

#include <algorithm>

#include "io/foreign_file.h"

namespace switchyard {
namespace {

constexpr uint64_t kInputBytes = uint64_t{1} << 18;
constexpr unsigned char kGzipStart = 0x1f;

}  // namespace

/// One gzip member after the other, as `cat a.gz b.gz` makes them.
class TextStream::Inflater {
 public:
  explicit Inflater(const InputFile& file) : file_(file) {
    // 16: gzip's header and checksum around the data
    if (::inflateInit2(&stream_, MAX_WBITS + 16) != Z_OK) fail(ExitCode::environment, "zlib cannot be started");
  }
  ~Inflater() { ::inflateEnd(&stream_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  size_t read(std::string& block) {
    stream_.next_out = reinterpret_cast<Bytef*>(block.data());
    stream_.avail_out = static_cast<uInt>(block.size());
    while (stream_.avail_out > 0 && !ended_) {
      if (stream_.avail_in == 0) fill();
      if (between_members_ && !begin_member()) break;
      inflate_some();
    }
    return block.size() - stream_.avail_out;
  }

 private:
  void fill() {
    input_.resize(std::min(kInputBytes, file_.size() - position_));
    file_.read(position_, std::as_writable_bytes(std::span(input_)));
    position_ += input_.size();
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
      fail(ExitCode::input, "{}: {} bytes before its end something else than gzip data begins", file_.path().native(),
           stream_.avail_in + file_.size() - position_);
    between_members_ = false;
    return true;
  }

  void inflate_some() {
    const int code = ::inflate(&stream_, Z_NO_FLUSH);
    if (code == Z_BUF_ERROR)  // there was room, so there was nothing to read
      fail(ExitCode::input, "{}: the gzip data is cut off after {} bytes", file_.path().native(), file_.size());
    if (code == Z_STREAM_END) {
      between_members_ = true;
      ::inflateReset(&stream_);
    } else if (code != Z_OK) {
      fail(ExitCode::input, "{}: damaged gzip data before byte {}: {}", file_.path().native(),
           position_ - stream_.avail_in, stream_.msg == nullptr ? "unknown error" : stream_.msg);
    }
  }

  const InputFile& file_;
  uint64_t position_ = 0;
  std::string input_;
  z_stream stream_{};
  bool between_members_ = false, ended_ = false;
};

TextStream::TextStream(const std::filesystem::path& path) : file_(path) {
  const Content content = content_of(head_of(file_));
  if (content == Content::empty && path.extension() == ".gz")
    fail(ExitCode::input, "{}: expected gzip data, found an empty file", path.native());
  if (content == Content::gzip) inflater_ = std::make_unique<Inflater>(file_);
  for (const Content other : {Content::zstd, Content::xz, Content::bzip2, Content::zip})
    if (content == other)
      fail(ExitCode::input, "{}: expected text, or text that gzip compressed, found {}: decompress it first",
           path.native(), name_of(content));
}

TextStream::~TextStream() = default;

size_t TextStream::read_plain(std::string& block) {
  const size_t count = std::min<uint64_t>(block.size(), file_.size() - position_);
  file_.read(position_, std::as_writable_bytes(std::span(block).first(count)));
  position_ += count;
  return count;
}

void TextStream::read(std::string& block) {
  block.resize(inflater_ ? inflater_->read(block) : read_plain(block));
}

}  // namespace switchyard
