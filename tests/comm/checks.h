// Checks that hold on any communicator: every rank runs the body. The thread tests and the MPI tests run the same ones.
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

#include "comm/communicator.h"

namespace switchyard::test {

struct Check {
  std::string name;
  std::function<void(Communicator& world)> body;
};

inline std::ostream& operator<<(std::ostream& out, const Check& check) {
  return out << check.name;
}

std::vector<Check> communicator_checks();
std::vector<Check> ordered_sum_checks();

/// For communicators that take a device's memory; where there is a device.
std::vector<Check> device_checks();
int device_of_rank(int rank);

}  // namespace switchyard::test
