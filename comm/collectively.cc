#include "comm/collectively.h"

#include <optional>

namespace switchyard {
namespace {

/// What body failed with; empty where it did not.
std::optional<Error> error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const CollectiveError&) {
    throw;  // all ranks already have it
  } catch (const std::exception& e) {
    return as_error(e);
  }
  return std::nullopt;
}

/// Runs body on every rank: what the lowest failing rank failed with, on all of them; empty where none did.
std::optional<Error> agreed_error(Communicator& ranks, const std::function<void()>& body) {
  const std::optional<Error> error = error_of(body);
  const auto first =
      static_cast<int>(ranks.all_reduce_one(int64_t{error ? ranks.rank() : ranks.size()}, ReduceOp::min));
  if (first == ranks.size()) return std::nullopt;

  int64_t code = error ? static_cast<int64_t>(error->code()) : 0;
  ranks.broadcast({&code, {1}, DType::i64}, first);
  std::string message = ranks.broadcast_string(error ? error->what() : "", first);
  if (first != 0) message = fmt::format("rank {}: {}", first, message);
  return Error(static_cast<ExitCode>(code), message);
}

}  // namespace

void collectively(Communicator& world, const std::function<void()>& body) {
  if (const std::optional<Error> error = agreed_error(world, body)) throw CollectiveError(error->code(), error->what());
}

void in_group(Communicator& group, const std::function<void()>& body) {
  if (const std::optional<Error> error = agreed_error(group, body)) throw *error;
}

}  // namespace switchyard
