#include "io/event_file.h"

#include <fmt/format.h>
#include <nmmintrin.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <concepts>

#include "base/stopwatch.h"

namespace switchyard {
namespace {

constexpr std::string_view kPrefix = "events.out.tfevents.";

template <std::integral T>
void append_fixed(std::string& out, T value) {
  const auto bytes = std::bit_cast<std::array<char, sizeof(T)>>(value);  // little-endian, as x86 is
  out.append(bytes.data(), bytes.size());
}

/// A protocol buffer's message, field by field.   (protobuf.dev, "Encoding")
class Message {
 public:
  Message& number(uint32_t field, double value) { return fixed(field, 1, std::bit_cast<uint64_t>(value)); }
  Message& number(uint32_t field, float value) { return fixed(field, 5, std::bit_cast<uint32_t>(value)); }
  Message& integer(uint32_t field, uint64_t value) {
    tag(field, 0);
    varint(value);
    return *this;
  }
  Message& bytes(uint32_t field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  std::string_view text() const { return bytes_; }

 private:
  template <class T>
  Message& fixed(uint32_t field, uint32_t wire_type, T value) {
    tag(field, wire_type);
    append_fixed(bytes_, value);
    return *this;
  }
  void tag(uint32_t field, uint32_t wire_type) { varint(field << 3 | wire_type); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>(value | 0x80);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

// Fields, by the names of event.proto and summary.proto.
constexpr uint32_t kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5, kSessionLog = 7;
constexpr uint32_t kValue = 1, kTag = 1, kSimpleValue = 2;
constexpr uint32_t kStatus = 1, kSessionStart = 1;

Message event(double wall_time, int64_t step) {
  return Message().number(kWallTime, wall_time).integer(kStep, static_cast<uint64_t>(step));
}

/// So that a CRC of data that holds CRCs is none.   (tensorflow/tsl/lib/hash/crc32c.h)
uint32_t masked(uint32_t crc) {
  return std::rotr(crc, 15) + 0xa282ead8u;
}

/// "events.out.tfevents.SECONDS.HOST.PID", followed by a number where that is taken.
std::filesystem::path new_name(const std::filesystem::path& directory) {
  std::array<char, 256> host{};
  ::gethostname(host.data(), host.size() - 1);
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) fail(ExitCode::output, "{}: {}", directory.native(), error.message());
  const std::string name = fmt::format("{}{:010.0f}.{}.{}", kPrefix, seconds_since_1970(), host.data(), ::getpid());
  std::filesystem::path path = directory / name;
  for (int i = 1; std::filesystem::exists(path, error); ++i) path = directory / fmt::format("{}.{}", name, i);
  return path;
}

}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (const char byte : bytes) crc = _mm_crc32_u8(crc, static_cast<uint8_t>(byte));
  return ~crc;
}

EventFile::EventFile(const std::filesystem::path& directory, int64_t first_step) : file_(new_name(directory)) {
  const double now = seconds_since_1970();
  write(event(now, 0).bytes(kFileVersion, "brain.Event:2").text());
  write(event(now, first_step).bytes(kSessionLog, Message().integer(kStatus, kSessionStart).text()).text());
}

void EventFile::add(int64_t step, double wall_time, std::span<const Scalar> scalars) {
  Message summary;
  for (const Scalar& scalar : scalars)
    summary.bytes(kValue, Message().bytes(kTag, scalar.tag).number(kSimpleValue, scalar.value).text());
  write(event(wall_time, step).bytes(kSummary, summary.text()).text());
}

/// In one piece, so that no reader sees half of it.
void EventFile::write(std::string_view event) {
  std::string length, record;
  append_fixed(length, static_cast<uint64_t>(event.size()));
  record = length;
  append_fixed(record, masked(crc32c(length)));
  record += event;
  append_fixed(record, masked(crc32c(event)));
  file_.write(record);
}

bool has_event_files(const std::filesystem::path& directory) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error))
    if (entry->path().filename().native().starts_with(kPrefix)) return true;
  return false;
}

}  // namespace switchyard
