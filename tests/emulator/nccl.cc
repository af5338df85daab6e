// A message is copied by whichever thread finds that both its ends are there and that both streams have come to them.
// Until all its messages are copied, a communicator is "in progress", as NCCL's is until its peers are connected.
#include <nccl.h>

#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace {

/// One end of a message.
struct End {
  ncclComm* comm;
  std::byte* data;
  size_t bytes;
  cudaEvent_t reached;  // by the stream
};

struct Operation {
  ncclComm* comm;
  bool is_send;
  std::byte* data;
  size_t bytes;
  int peer;
  cudaStream_t stream;
};

/// The ranks of one unique id.
struct Clique {
  explicit Clique(int the_size) : members(static_cast<size_t>(the_size)) {}

  std::mutex mutex;
  std::vector<ncclComm*> members;  // null: not yet there, or gone
  int num_joined = 0, num_finalized = 0;
  std::map<std::pair<int, int>, std::deque<End>> sends, receives;  // by (from, to)

  void progress();
  void break_for_others(const ncclComm* culprit);
  void check_devices();
  void forget(const ncclComm* comm);
};

std::mutex registry_mutex;
std::map<int, std::weak_ptr<Clique>> cliques;
std::atomic<int> num_ids, num_alive;
std::map<int, ncclResult_t> next_failure;  // by rank

thread_local int group_depth = 0;
thread_local std::vector<Operation> group;

std::mutex last_error_mutex;

std::string& last_error() {
  static std::string text;
  return text;
}

ncclResult_t refuse(ncclResult_t code, const std::string& text) {
  const std::lock_guard lock(last_error_mutex);
  last_error() = text;
  return code;
}

}  // namespace

struct ncclComm {
  std::shared_ptr<Clique> clique;
  int rank = 0, device = 0;
  ncclResult_t state = ncclInProgress;
  int num_open = 0;  // messages of the group under way
  bool finalized = false;
};

namespace {

bool reached(const End& end) {
  return cudaEventQuery(end.reached) == cudaSuccess;
}

void complete(const End& end) {
  cudaEventDestroy(end.reached);
  if (--end.comm->num_open == 0 && end.comm->state == ncclInProgress) end.comm->state = ncclSuccess;
}

void Clique::progress() {
  for (auto& [pair, sent] : sends) {
    std::deque<End>& received = receives[pair];
    while (!sent.empty() && !received.empty() && reached(sent.front()) && reached(received.front())) {
      const End from = sent.front(), to = received.front();
      sent.pop_front();
      received.pop_front();
      if (from.bytes == to.bytes) {
        std::memcpy(to.data, from.data, from.bytes);
      } else {
        from.comm->state = to.comm->state = refuse(
            ncclInvalidArgument, std::to_string(from.bytes) + " bytes sent, " + std::to_string(to.bytes) + " expected");
      }
      complete(from);
      complete(to);
    }
  }
}

void Clique::break_for_others(const ncclComm* culprit) {
  for (ncclComm* member : members)
    if (member != nullptr && member != culprit && (member->state == ncclSuccess || member->state == ncclInProgress))
      member->state = ncclRemoteError;
}

void Clique::check_devices() {
  for (size_t a = 0; a < members.size(); ++a)
    for (size_t b = 0; b < a; ++b)
      if (members[a]->device == members[b]->device) {
        const ncclResult_t code = refuse(
            ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(a) + " and rank " + std::to_string(b) +
                                  " both on CUDA device " + std::to_string(members[a]->device));
        for (ncclComm* member : members) member->state = code;
        return;
      }
}

void Clique::forget(const ncclComm* comm) {
  for (auto* ends : {&sends, &receives})
    for (auto& [pair, queue] : *ends)
      std::erase_if(queue, [&](const End& end) {
        if (end.comm != comm) return false;
        cudaEventDestroy(end.reached);
        return true;
      });
  members[static_cast<size_t>(comm->rank)] = nullptr;
}

ncclResult_t add(Operation operation) {
  const std::lock_guard lock(operation.comm->clique->mutex);
  const auto num_ranks = static_cast<int>(operation.comm->clique->members.size());
  if (group_depth == 0) return refuse(ncclInvalidUsage, "the emulator takes messages in groups only");
  if (operation.peer < 0 || operation.peer >= num_ranks)
    return refuse(ncclInvalidArgument, "no rank " + std::to_string(operation.peer));
  if (operation.comm->state == ncclInProgress)
    return refuse(ncclInvalidArgument,
                  "Attempt to use communicator before the previous operation returned ncclSuccess");
  if (operation.comm->state != ncclSuccess) return operation.comm->state;
  group.push_back(operation);
  return ncclSuccess;
}

void leave(ncclComm* comm) {
  delete comm;
  --num_alive;
}

}  // namespace

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  const int number = ++num_ids;
  std::memset(id->internal, 0, sizeof id->internal);
  std::memcpy(id->internal, &number, sizeof number);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int num_ranks, ncclUniqueId id, int rank, ncclConfig_t* config) {
  *comm = nullptr;
  if (config == nullptr || config->blocking != 0)
    return refuse(ncclInvalidArgument, "the emulator has no blocking communicators");
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  std::shared_ptr<Clique> clique;
  {
    const std::lock_guard lock(registry_mutex);
    clique = cliques[number].lock();
    if (!clique) cliques[number] = clique = std::make_shared<Clique>(num_ranks);
  }
  const std::lock_guard lock(clique->mutex);
  ncclComm*& member = clique->members.at(static_cast<size_t>(rank));
  if (member != nullptr) return refuse(ncclInvalidUsage, "rank " + std::to_string(rank) + " is there twice");
  *comm = member = new ncclComm{clique, rank};
  ++num_alive;
  cudaGetDevice(&member->device);
  if (++clique->num_joined == num_ranks) {
    for (ncclComm* other : clique->members) other->state = ncclSuccess;
    clique->check_devices();
  }
  return member->state;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  const std::lock_guard lock(comm->clique->mutex);
  if (comm->state != ncclSuccess || comm->finalized) return refuse(ncclInvalidArgument, "cannot be finalised");
  comm->finalized = true;
  comm->state = ncclInProgress;
  if (++comm->clique->num_finalized == static_cast<int>(comm->clique->members.size()))
    for (ncclComm* member : comm->clique->members)
      if (member != nullptr) member->state = ncclSuccess;
  return comm->state;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  const std::shared_ptr<Clique> clique = comm->clique;
  const std::lock_guard lock(clique->mutex);
  if (!comm->finalized || comm->state != ncclSuccess) return refuse(ncclInvalidUsage, "not finalised");
  clique->forget(comm);
  leave(comm);
  return ncclSuccess;
}

/// The others are told, where real ones may hear of it from their launcher only.
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  const std::shared_ptr<Clique> clique = comm->clique;
  const std::lock_guard lock(clique->mutex);
  clique->break_for_others(comm);
  clique->forget(comm);
  leave(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  const std::lock_guard lock(comm->clique->mutex);
  comm->clique->progress();
  *error = comm->state;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t code) {
  static constexpr const char* kTexts[] = {"no error",
                                           "unhandled cuda error",
                                           "unhandled system error",
                                           "internal error",
                                           "invalid argument",
                                           "invalid usage",
                                           "remote process exited or there was a network error",
                                           "NCCL operation in progress"};
  return kTexts[code];
}

const char* ncclGetLastError(ncclComm_t) {
  thread_local std::string copy;
  const std::lock_guard lock(last_error_mutex);
  copy = last_error();
  return copy.c_str();
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (group_depth == 0) return refuse(ncclInvalidUsage, "ncclGroupEnd without ncclGroupStart");
  if (--group_depth > 0 || group.empty()) return ncclSuccess;
  for (const Operation& operation : std::exchange(group, {})) {
    ncclComm* comm = operation.comm;
    const std::lock_guard lock(comm->clique->mutex);
    if (comm->state == ncclSuccess) comm->state = ncclInProgress;
    ++comm->num_open;
    cudaEvent_t event = nullptr;
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    cudaEventRecord(event, operation.stream);
    const End end{comm, operation.data, operation.bytes, event};
    if (operation.is_send)
      comm->clique->sends[{comm->rank, operation.peer}].push_back(end);
    else
      comm->clique->receives[{operation.peer, comm->rank}].push_back(end);
    const std::lock_guard failure_lock(registry_mutex);
    if (const auto failure = next_failure.find(comm->rank); failure != next_failure.end()) {
      comm->state = failure->second;
      next_failure.erase(failure);
      comm->clique->break_for_others(comm);
    }
  }
  return ncclInProgress;
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({comm, true, static_cast<std::byte*>(const_cast<void*>(data)), count, peer, stream});
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add({comm, false, static_cast<std::byte*>(data), count, peer, stream});
}

void emulated_nccl::fail_next_group(int rank, ncclResult_t code) {
  const std::lock_guard lock(registry_mutex);
  next_failure[rank] = code;
}

int emulated_nccl::num_communicators() {
  return num_alive;
}
