#include "jobs/score/scored_rows.h"

#include <algorithm>
#include <cstring>
#include <tuple>

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

/// Columns of plain values, in the order in which they travel.
template <class Rows>
auto columns(Rows& r) {
  return std::tie(r.record, r.logprob, r.tokens, r.greedy, r.token_logprob, r.embedding, r.hashed_record, r.hash);
}

struct Place {
  int64_t record;
  size_t part, index;
  auto operator<=>(const Place&) const = default;
};

template <class Field>
std::vector<Place> in_input_order(std::span<const ScoredRows> parts, Field field) {
  std::vector<Place> places;
  for (size_t p = 0; p < parts.size(); ++p) {
    const std::vector<int64_t>& records = parts[p].*field;
    for (size_t i = 0; i < records.size(); ++i) places.push_back({records[i], p, i});
  }
  std::sort(places.begin(), places.end());
  return places;
}

/// Where each row's tokens start in its part's token_logprob.
std::vector<size_t> token_starts(const ScoredRows& rows) {
  std::vector<size_t> starts{0};
  for (const int32_t tokens : rows.tokens) starts.push_back(starts.back() + static_cast<size_t>(tokens));
  return starts;
}

}  // namespace

std::vector<std::byte> pack_rows(const ScoredRows& rows) {
  std::vector<std::byte> out;
  std::apply([&](const auto&... column) { (put_vector(out, column), ...); }, columns(rows));
  const uint64_t rejects = rows.rejects.size();
  put(out, &rejects, sizeof rejects);
  for (const Reject& reject : rows.rejects) {
    put(out, &reject.record, sizeof reject.record);
    put_vector(out, std::vector<char>(reject.reason.begin(), reject.reason.end()));
  }
  return out;
}

ScoredRows unpack_rows(std::span<const std::byte> bytes) {
  ScoredRows rows;
  Unpacker in(bytes);
  std::apply([&](auto&... column) { (in.take_vector(column), ...); }, columns(rows));
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
  std::vector<std::vector<size_t>> starts;
  for (const ScoredRows& part : parts) starts.push_back(token_starts(part));
  if (options.per_token) result.token_offsets.push_back(0);
  const auto dim = static_cast<size_t>(options.embedding_dim);

  for (const Place& place : in_input_order(parts, &ScoredRows::record)) {
    const ScoredRows& part = parts[place.part];
    result.record.push_back(place.record);
    result.logprob.push_back(part.logprob[place.index]);
    result.tokens.push_back(part.tokens[place.index]);
    result.greedy.push_back(part.greedy[place.index]);
    if (options.per_token) {
      const auto tokens = std::span(part.token_logprob)
                              .subspan(starts[place.part][place.index], static_cast<size_t>(part.tokens[place.index]));
      result.token_logprob.insert(result.token_logprob.end(), tokens.begin(), tokens.end());
      result.token_offsets.push_back(static_cast<int64_t>(result.token_logprob.size()));
    }
    const auto vector = std::span(part.embedding).subspan(place.index * dim, dim);
    result.embedding.insert(result.embedding.end(), vector.begin(), vector.end());
  }
  for (const ScoredRows& part : parts)
    result.rejects.insert(result.rejects.end(), part.rejects.begin(), part.rejects.end());
  std::sort(result.rejects.begin(), result.rejects.end(),
            [](const Reject& a, const Reject& b) { return a.record < b.record; });

  Hasher hasher;
  for (const Place& place : in_input_order(parts, &ScoredRows::hashed_record))
    hasher.update(&parts[place.part].hash[place.index], sizeof(Hash128));
  result.input_hash = hasher.digest();
  return result;
}

}  // namespace switchyard
