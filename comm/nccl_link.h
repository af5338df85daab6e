// One rank's end of an NCCL communicator, and the order of what goes through it.
//
// The communicator is a non-blocking one: NCCL connects two ranks when they first exchange rows, and a call that waited
// for that inside NCCL would neither move MPI's messages, which the other rank may be waiting for, nor show the
// watchdog that this rank waits. The price is a thread that NCCL starts for every transfer, some tens of microseconds
// beside the computing.
#pragma once

#include <nccl.h>

#include <chrono>
#include <deque>

#include "base/cuda_call.h"
#include "base/handle.h"
#include "comm/communicator.h"

namespace switchyard {

/// The error of a communicator: an Error(environment) with NCCL's own words.
[[noreturn]] void fail_nccl(ncclResult_t code, const std::string& subject);

class NcclLink {
 public:
  /// Something to be launched on stream().
  class Work {
   public:
    virtual void launch() = 0;    ///< gives the communicator a group of operations
    virtual void launched() = 0;  ///< these are in the stream
   protected:
    ~Work() = default;
  };

  /// Collective over `host`, whose ranks get the same numbers here: one device each. Fails (environment) with NCCL's
  /// reason, or (timeout) when the others do not come.
  NcclLink(Communicator& host, int device_index, std::chrono::milliseconds timeout);
  /// Collective too, unless it is aborted: waits for the others, up to the timeout. Aborts when an error unwinds it.
  ~NcclLink();
  NcclLink(const NcclLink&) = delete;
  NcclLink& operator=(const NcclLink&) = delete;

  int device_index() const { return device_index_; }
  ncclComm_t get() const { return comm_; }
  cudaStream_t stream() const { return stream_.get(); }

  /// Launches work as soon as the work before it has been launched, here or in a later advance(). Works live until
  /// launched() or abort(). All ranks give theirs in one order.
  void give(Work& work);
  /// Never waits. An error that came up meanwhile, here or at another rank, aborts the link and throws.
  void advance();

  /// Ends what is under way, on the device too. Later calls fail (environment).
  void abort() noexcept;
  bool aborted() const { return comm_ == nullptr; }

 private:
  struct StreamTraits {
    using type = cudaStream_t;
    static type null() { return nullptr; }
    static void destroy(type value) noexcept { cudaStreamDestroy(value); }
  };

  void connect(Communicator& host);
  bool close() noexcept;
  bool idle() const;

  const int device_index_;
  const std::chrono::milliseconds timeout_;
  const int num_exceptions_;  // under way at construction
  Handle<StreamTraits> stream_;
  ncclComm_t comm_ = nullptr;
  std::deque<Work*> waiting_;
  Work* launching_ = nullptr;
};

}  // namespace switchyard
