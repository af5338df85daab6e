#include "jobs/input/input_identity.h"

#include <algorithm>

#include "comm/collectively.h"
#include "io/record_ids.h"

namespace switchyard {
namespace {

constexpr int64_t kBlockRecords = IdHasher::kBlock;
constexpr int64_t kBlockTokens = int64_t{1} << 18;

Hasher begin_record(const ScoringInput::Record& record) {
  Hasher hasher;
  const int64_t head[] = {record.length, record.context};
  hasher.update(std::span<const int64_t>(head));
  return hasher;
}

/// Reads one rank's chunks. Records are read in blocks, and their tokens in blocks that know no records: a record may
/// be one token or more than memory holds.
class InputReader {
 public:
  InputReader(const ScoringInput& input, int64_t max_positions, const std::function<void()>& poll,
              const TokenVisitor& visit)
      : input_(input), max_positions_(max_positions), poll_(poll), visit_(visit) {}

  /// Of a chunk's records and, if the input is joined, of some documents.
  ChunkIdentity identify(int64_t first, int64_t count, int64_t first_document, int64_t num_documents) {
    Hasher content, scored;
    IdHasher ids;
    for (int64_t begin = first; begin < first + count; begin += kBlockRecords) {
      const int64_t n = std::min(kBlockRecords, first + count - begin);
      for (const ScoringInput::Record& record : input_.records(begin, n)) {
        const Hash128 hash = read_record(record);
        content.update(&hash, sizeof hash);
        if (reject_reason(record, max_positions_).empty()) scored.update(&hash, sizeof hash);
      }
      if (input_.has_ids()) ids.add(RecordIds(input_, begin, n));
      poll();
    }
    if (input_.joined()) read_documents(first_document, num_documents, content);
    return {content.digest(), scored.digest(), ids.digest()};
  }

 private:
  void read_documents(int64_t first, int64_t count, Hasher& content) {
    content.update(std::string_view("documents"));
    for (int64_t begin = first; begin < first + count; begin += kBlockRecords) {
      const auto offsets = input_.document_offsets(begin, std::min(kBlockRecords, first + count - begin));
      content.update(std::span<const int64_t>(offsets));
      poll();
    }
  }

  Hash128 read_record(const ScoringInput::Record& record) {
    Hasher hasher = begin_record(record);
    const int64_t end = record.first + record.length;
    if (visit_ && record.length == 0) visit_(record, 0, {});
    for (int64_t at = record.first; at < end;) {
      const std::span<const int64_t> tokens = tokens_from(at, end);
      hasher.update(tokens);
      if (visit_) visit_(record, at - record.first, tokens);
      at += std::ssize(tokens);
    }
    return hasher.digest();
  }

  /// Some of the tokens [at, end), at least one.
  std::span<const int64_t> tokens_from(int64_t at, int64_t end) {
    if (at < block_first_ || at >= block_first_ + std::ssize(block_)) {
      block_first_ = at;
      block_.resize(static_cast<size_t>(std::min(kBlockTokens, input_.num_tokens() - at)));
      input_.token_range(at, block_);
      poll();
    }
    const auto rest = std::span<const int64_t>(block_).subspan(static_cast<size_t>(at - block_first_));
    return rest.first(std::min(rest.size(), static_cast<size_t>(end - at)));
  }

  void poll() const {
    if (poll_) poll_();
  }

  const ScoringInput& input_;
  const int64_t max_positions_;
  const std::function<void()>& poll_;
  const TokenVisitor& visit_;
  std::vector<int64_t> block_;
  int64_t block_first_ = 0;  ///< of tokens/values
};

}  // namespace

Hash128 hash_record(const ScoringInput::Record& record, std::span<const int64_t> tokens) {
  Hasher hasher = begin_record(record);
  hasher.update(tokens);
  return hasher.digest();
}

std::string reject_reason(const ScoringInput::Record& r, int64_t max_positions) {
  if (r.length == 0) return "empty record";
  if (r.context < 1) return fmt::format("context is {}, at least 1", r.context);
  if (r.context > r.length) return fmt::format("context is {} of {} tokens", r.context, r.length);
  if (r.length > max_positions)
    return fmt::format("{} tokens, but the model has {} positions", r.length, max_positions);
  return {};
}

std::string reject_reason(std::span<const int64_t> tokens, int64_t vocab_size, int64_t at) {
  const auto bad = std::ranges::find_if(tokens, [&](int64_t id) { return id < 0 || id >= vocab_size; });
  if (bad == tokens.end()) return {};
  return fmt::format("token {} is {}, but the vocabulary has {}", at + (bad - tokens.begin()), *bad, vocab_size);
}

std::vector<ChunkIdentity> identify_input(Communicator& world, const ScoringInput& input, int64_t chunk_records,
                                          int64_t max_positions, const std::function<void()>& poll,
                                          const TokenVisitor& visit) {
  constexpr int64_t kWords = sizeof(ChunkIdentity) / sizeof(int64_t);
  const int64_t num_records = input.num_records(), num_chunks = (num_records + chunk_records - 1) / chunk_records;
  std::vector<ChunkIdentity> chunks(static_cast<size_t>(num_chunks));
  collectively(world, [&] {
    // Neighbouring chunks to one rank: each reads one part of the file from front to back.
    const int64_t share = (num_chunks + world.size() - 1) / world.size();
    const int64_t begin = std::min(num_chunks, world.rank() * share), end = std::min(num_chunks, begin + share);
    // Of the list of documents each chunk covers as much as any other, whatever its records are of.
    const int64_t num_documents = input.num_documents();
    const int64_t documents = num_chunks > 0 ? (num_documents + num_chunks - 1) / num_chunks : 0;
    InputReader reader(input, max_positions, poll, visit);
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      const int64_t first = chunk * chunk_records, document = std::min(num_documents, chunk * documents);
      chunks[static_cast<size_t>(chunk)] = reader.identify(first, std::min(chunk_records, num_records - first),
                                                           document, std::min(documents, num_documents - document));
    }
  });
  // Every hash is zero on all ranks but one.
  world.all_reduce({chunks.data(), {num_chunks * kWords}, DType::i64}, ReduceOp::sum);
  return chunks;
}

Hash128 content_hash(std::span<const ChunkIdentity> chunks) {
  Hasher hasher;
  for (const ChunkIdentity& chunk : chunks)
    for (const Hash128* hash : {&chunk.content, &chunk.ids}) hasher.update(hash, sizeof *hash);
  return hasher.digest();
}

std::vector<Hash128> hashes_of(std::span<const ChunkIdentity> chunks, Hash128 ChunkIdentity::*which) {
  std::vector<Hash128> hashes;
  hashes.reserve(chunks.size());
  for (const ChunkIdentity& chunk : chunks) hashes.push_back(chunk.*which);
  return hashes;
}

}  // namespace switchyard
