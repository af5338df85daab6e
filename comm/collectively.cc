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

struct SharedError {
  ExitCode code;
  std::string message;
};
/// The one of rank `from`, on all ranks.
SharedError share(Communicator& ranks, const std::optional<Error>& error, int from) {
  int64_t code = error ? static_cast<int64_t>(error->code()) : 0;
  ranks.broadcast({&code, {1}, DType::i64}, from);
  return {static_cast<ExitCode>(code), ranks.broadcast_string(error ? error->what() : "", from)};
}

}  // namespace

void collectively(Communicator& world, const std::function<void()>& body) {
  const std::optional<Error> error = error_of(body);
  const auto first =
      static_cast<int>(world.all_reduce_one(int64_t{error ? world.rank() : world.size()}, ReduceOp::min));
  if (first == world.size()) return;

  auto [code, message] = share(world, error, first);
  if (first != 0) message = fmt::format("rank {}: {}", first, message);
  throw CollectiveError(code, message);
}

void at_root(Communicator& group, const std::function<void()>& body) {
  std::optional<Error> error;
  if (group.rank() == 0) error = error_of(body);
  const auto [code, message] = share(group, error, 0);
  if (code != ExitCode::complete) throw Error(code, message);
}

}  // namespace switchyard
