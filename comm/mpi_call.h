// Every call of MPI goes through SWITCHYARD_MPI: an error becomes an Error(environment) with the call's text, MPI's own
// message and the place.
#pragma once

#include <mpi.h>

namespace switchyard {

/// Throws when `code` is not MPI_SUCCESS.
void check_mpi(int code, const char* call, const char* file, int line);

}  // namespace switchyard

#define SWITCHYARD_MPI(call) ::switchyard::check_mpi(call, #call, __FILE__, __LINE__)
