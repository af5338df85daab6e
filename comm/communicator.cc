#include "comm/communicator.h"

namespace switchyard {

int64_t Communicator::all_reduce_one(int64_t value, ReduceOp op) {
  all_reduce({&value, {1}, DType::i64}, op);
  return value;
}

double Communicator::all_reduce_one(double value, ReduceOp op) {
  all_reduce({&value, {1}, DType::f64}, op);
  return value;
}

std::string Communicator::broadcast_string(std::string text, int root) {
  auto size = static_cast<int64_t>(text.size());
  broadcast({&size, {1}, DType::i64}, root);
  text.resize(static_cast<size_t>(size));
  broadcast({text.data(), {size}, DType::u8}, root);
  return text;
}

std::vector<std::string> Communicator::all_gather_strings(const std::string& text) {
  std::vector<std::string> all;
  for (int root = 0; root < size(); ++root) all.push_back(broadcast_string(root == rank() ? text : "", root));
  return all;
}

}  // namespace switchyard
