#include "jobs/score/scored_rows.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"

namespace switchyard {
namespace {

void put(std::vector<std::byte>& out, const void* data, size_t bytes) {
  const size_t size = out.size();
  out.resize(size + bytes);
  if (bytes > 0) std::memcpy(out.data() + size, data, bytes);
}

template <class T>
void put_vector(std::vector<std::byte>& out, const std::vector<T>& values) {
  const uint64_t count = values.size();
  put(out, &count, sizeof count);
  put(out, values.data(), values.size() * sizeof(T));
}

class Unpacker {
 public:
  explicit Unpacker(std::span<const std::byte> bytes) : bytes_(bytes) {}

  void take(void* out, size_t bytes) {
    SWITCHYARD_CHECK(bytes <= bytes_.size(), "{} bytes of rows wanted, {} left", bytes, bytes_.size());
    if (bytes > 0) std::memcpy(out, bytes_.data(), bytes);
    bytes_ = bytes_.subspan(bytes);
  }
  template <class T>
  void take_vector(std::vector<T>& out) {
    uint64_t count = 0;
    take(&count, sizeof count);
    out.resize(count);
    take(out.data(), count * sizeof(T));
  }

 private:
  std::span<const std::byte> bytes_;
};

struct RowPlace {
  int64_t record;
  size_t part, index;
  auto operator<=>(const RowPlace&) const = default;
};

/// records_of: of a part, what is to be put in order.
template <class Records>
std::vector<RowPlace> in_input_order(std::span<const ScoredRows> parts, const Records& records_of) {
  std::vector<RowPlace> places;
  for (size_t p = 0; p < parts.size(); ++p) {
    const std::span<const int64_t> records = records_of(parts[p]);
    for (size_t i = 0; i < records.size(); ++i) places.push_back({records[i], p, i});
  }
  std::sort(places.begin(), places.end());
  return places;
}

}  // namespace

std::vector<std::byte> pack_rows(const ScoredRows& rows) {
  std::vector<std::byte> out;
  for (const ColumnValues& values : rows.accepted.columns) {
    put_vector(out, values.bytes);
    put_vector(out, values.offsets);
  }
  put_vector(out, rows.hashed_record);
  put_vector(out, rows.hash);
  const uint64_t rejects = rows.rejects.size();
  put(out, &rejects, sizeof rejects);
  for (const Reject& reject : rows.rejects) {
    put(out, &reject.record, sizeof reject.record);
    put_vector(out, std::vector<char>(reject.reason.begin(), reject.reason.end()));
  }
  return out;
}

ScoredRows unpack_rows(std::span<const std::byte> bytes, const ResultOptions& options) {
  ScoredRows rows{ResultRows(options)};
  Unpacker in(bytes);
  for (ColumnValues& values : rows.accepted.columns) {
    in.take_vector(values.bytes);
    in.take_vector(values.offsets);
  }
  in.take_vector(rows.hashed_record);
  in.take_vector(rows.hash);
  uint64_t rejects = 0;
  in.take(&rejects, sizeof rejects);
  for (uint64_t i = 0; i < rejects; ++i) {
    Reject reject;
    in.take(&reject.record, sizeof reject.record);
    std::vector<char> reason;
    in.take_vector(reason);
    reject.reason.assign(reason.begin(), reason.end());
    rows.rejects.push_back(std::move(reject));
  }
  return rows;
}

ChunkResult assemble_chunk(std::span<const ScoredRows> parts, const ResultOptions& options) {
  ChunkResult result;
  result.accepted = ResultRows(options);
  for (size_t i = 0; i < result.accepted.columns.size(); ++i) {
    size_t bytes = 0;
    for (const ScoredRows& part : parts) bytes += part.accepted.columns[i].bytes.size();
    result.accepted.columns[i].bytes.reserve(bytes);
  }
  for (const RowPlace& place : in_input_order(parts, [](const ScoredRows& part) { return part.accepted.records(); }))
    result.accepted.append(parts[place.part].accepted, static_cast<int64_t>(place.index));
  for (const ScoredRows& part : parts)
    result.rejects.insert(result.rejects.end(), part.rejects.begin(), part.rejects.end());
  std::sort(result.rejects.begin(), result.rejects.end(),
            [](const Reject& a, const Reject& b) { return a.record < b.record; });

  Hasher hasher;
  for (const RowPlace& place :
       in_input_order(parts, [](const ScoredRows& part) { return std::span(part.hashed_record); }))
    hasher.update(&parts[place.part].hash[place.index], sizeof(Hash128));
  result.input_hash = hasher.digest();
  return result;
}

}  // namespace switchyard
