// Event files as TensorBoard reads them: records of TFRecord's framing, each an Event of
// tensorflow/core/util/event.proto. Of its messages there are three here, Event, Summary and SessionLog, with the
// fields that numbers over steps take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/file.h"

namespace switchyard {

/// A tag and its value at a step.
struct Scalar {
  std::string_view tag;
  float value = 0;
};

/// The numbers of one session, a new file in a directory: readers drop what earlier sessions' files say of the steps
/// from the session's first on. A file that ends in the middle of a record is read up to there.
class EventFile {
 public:
  /// directory: made if it is not there. Fails (output).
  EventFile(const std::filesystem::path& directory, int64_t first_step);
  /// wall_time: seconds since 1970.
  void add(int64_t step, double wall_time, std::span<const Scalar> scalars);
  void sync() { file_.sync(); }

 private:
  void write(std::string_view event);

  OutputFile file_;
};

/// Whether a session has left its numbers there.
bool has_event_files(const std::filesystem::path& directory);

/// CRC-32C (Castagnoli) of the bytes.
uint32_t crc32c(std::string_view bytes);

}  // namespace switchyard
