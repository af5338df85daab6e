#include "comm/collectively.h"

#include <optional>

namespace switchyard {

void collectively(Communicator& world, const std::function<void()>& body) {
  std::optional<Error> error;
  try {
    body();
  } catch (const CollectiveError&) {
    throw;  // all ranks already have it
  } catch (const std::exception& e) {
    error = as_error(e);
  }
  const auto first =
      static_cast<int>(world.all_reduce_one(int64_t{error ? world.rank() : world.size()}, ReduceOp::min));
  if (first == world.size()) return;

  int64_t code = error ? static_cast<int64_t>(error->code()) : 0;
  world.broadcast({&code, {1}, DType::i64}, first);
  std::string message = world.broadcast_string(error ? error->what() : "", first);
  if (first != 0) message = fmt::format("rank {}: {}", first, message);
  throw CollectiveError(static_cast<ExitCode>(code), message);
}

}  // namespace switchyard
