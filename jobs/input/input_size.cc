#include "jobs/input/input_size.h"

#include <algorithm>

#include "comm/collectively.h"

namespace switchyard {

InputSize size_of(Communicator& world, const ScoringInput& input, int64_t max_positions) {
  constexpr int64_t kBlock = int64_t{1} << 18;
  InputSize size{.path = input.path().native(), .records = input.num_records(), .tokens = input.num_tokens()};
  if (input.joined()) size.documents = input.num_documents();
  collectively(world, [&] {
    for (int64_t first = world.rank() * kBlock; first < size.records; first += world.size() * kBlock)
      for (const auto& record : input.records(first, std::min(kBlock, size.records - first)))
        if (record.length <= max_positions) size.longest = std::max(size.longest, record.length);
  });
  size.longest = world.all_reduce_one(size.longest, ReduceOp::max);
  return size;
}

void share(Communicator& world, InputSize& size) {
  constexpr int64_t kNone = -1;
  int64_t documents = size.documents.value_or(kNone);
  for (int64_t* count : {&size.records, &size.tokens, &size.longest, &documents})
    world.broadcast({count, {1}, DType::i64}, 0);
  size.documents = documents == kNone ? std::nullopt : std::optional(documents);
}

}  // namespace switchyard
