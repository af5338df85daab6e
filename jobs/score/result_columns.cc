#include "jobs/score/result_columns.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <ranges>

#include "base/error.h"

namespace switchyard {
namespace {

template <class T>
void put(std::vector<std::byte>& out, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class T>
std::string text(const void* value) {
  return fmt::to_string(*static_cast<const T*>(value));
}

using Join = decltype(ResultColumn::join);

/// Of two scalars one.
template <class T, T (*combine)(T whole, T piece)>
void folded(std::vector<std::byte>& values, std::span<const std::byte> piece) {
  T a{}, b{};
  std::byte* const last = values.data() + values.size() - sizeof(T);
  std::memcpy(&a, last, sizeof(T));
  std::memcpy(&b, piece.data(), sizeof(T));
  a = combine(a, b);
  std::memcpy(last, &a, sizeof(T));
}

template <class T>
T first(T whole, T) {
  return whole;
}

template <class T>
T sum(T whole, T piece) {
  return whole + piece;
}

template <>
int32_t sum(int32_t whole, int32_t piece) {
  if (__builtin_add_overflow(whole, piece, &whole))
    fail(ExitCode::input, "a document has more scored tokens than the {} that a row can count", INT32_MAX);
  return whole;
}

template <class T>
T both(T whole, T piece) {
  return whole != 0 && piece != 0;
}

/// One behind the other, as many as they are.
void concatenated(std::vector<std::byte>& values, std::span<const std::byte> piece) {
  put(values, piece);
}

/// The last piece's, in place of those before it.
void last(std::vector<std::byte>& values, std::span<const std::byte> piece) {
  std::ranges::copy(piece, values.end() - std::ssize(piece));
}

/// join: how a document's value comes of its pieces'. Value: a lambda of a ScoredRecord that gives a T or, unless the
/// extent is scalar, a range of T.
template <class T, class Value>
constexpr ResultColumn column(std::string_view name, Extent extent, int64_t (*width)(const ResultOptions&), Join join,
                              Value) {
  const auto append = [](const ScoredRecord& record, std::vector<std::byte>& out) {
    const auto value = Value()(record);
    if constexpr (std::ranges::range<decltype(value)>) {
      put(out, std::span<const T>(value));
    } else {
      const T one{value};
      put(out, std::span(&one, 1));
    }
  };
  return {name, DTypeOf<T>::value, extent, width, append, join, text<T>};
}

int64_t always(const ResultOptions&) {
  return 1;
}

int64_t per_token(const ResultOptions& options) {
  return options.per_token ? 1 : 0;
}

int64_t with_text(const ResultOptions& options) {
  return options.with_text ? 1 : 0;
}

int64_t num_quantiles(const ResultOptions& options) {
  return std::ssize(options.quantiles);
}

int64_t embedding_dim(const ResultOptions& options) {
  return options.embedding_dim;
}

constexpr ResultColumn kColumns[] = {
    column<int64_t>("record", Extent::scalar, always, folded<int64_t, first>,
                    [](const ScoredRecord& r) { return r.record; }),
    column<double>("logprob", Extent::scalar, always, folded<double, sum>,
                   [](const ScoredRecord& r) { return std::accumulate(r.logprob.begin(), r.logprob.end(), 0.0); }),
    column<int32_t>("tokens", Extent::scalar, always, folded<int32_t, sum>,
                    [](const ScoredRecord& r) { return static_cast<int32_t>(r.logprob.size()); }),
    column<uint8_t>("greedy", Extent::scalar, always, folded<uint8_t, both>,
                    [](const ScoredRecord& r) { return std::ranges::equal(r.argmax, r.target); }),
    column<float>("token_logprob", Extent::scored_tokens, per_token, concatenated,
                  [](const ScoredRecord& r) { return r.logprob; }),
    column<int32_t>(kTokenId, Extent::scored_tokens, with_text, concatenated,
                    [](const ScoredRecord& r) { return r.target; }),
    column<float>(kQuantiles, Extent::scored_tokens, num_quantiles, concatenated,
                  [](const ScoredRecord& r) { return r.quantiles; }),
    column<float>("embedding", Extent::vector, embedding_dim, last, [](const ScoredRecord& r) { return r.pooled; }),
};

}  // namespace

std::string ResultColumn::values_dataset() const {
  return std::string(name) + (extent == Extent::scored_tokens ? "/values" : "");
}

std::string ResultColumn::offsets_dataset() const {
  return std::string(name) + "/offsets";
}

std::span<const ResultColumn> result_columns() {
  return kColumns;
}

}  // namespace switchyard
