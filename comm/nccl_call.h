// Every call of NCCL goes through SWITCHYARD_NCCL: an error becomes an Error(environment) with the call's text, NCCL's
// own messages and the place.
#pragma once

#include <nccl.h>

namespace switchyard {

/// Throws unless `code` is ncclSuccess or ncclInProgress, which is how calls on a non-blocking communicator answer.
void check_nccl(ncclResult_t code, const char* call, const char* file, int line);

}  // namespace switchyard

#define SWITCHYARD_NCCL(call) ::switchyard::check_nccl(call, #call, __FILE__, __LINE__)
