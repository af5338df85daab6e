#include <optional>

#include "base/device.h"
#include "base/stopwatch.h"
#include "kernels/rows/copy_columns.h"
#include "plan/calibration_parts.h"
#include "plan/works.h"

namespace switchyard {

void time_memory(Communicator& world, const CalibrationRequest& request, Rates& rates) {
  constexpr int64_t kWidth = 1024;
  constexpr int64_t kRows[] = {256, 32768};  // a MiB, which caches hold, and 128, which they do not
  ThreadPool pool(request.threads);
  Stream stream{Device::cpu, &pool};
  std::optional<DeviceStream> device;
  if (request.device.device == Device::cuda) stream = device.emplace(request.device.index).over(stream);
  for (const int64_t rows : kRows) {
    OwnedTensor from = hold(stream, {rows, kWidth}, DType::f32), to = hold(stream, {rows, kWidth}, DType::f32);
    const auto bytes = static_cast<double>(2 * from.view().bytes());
    copy_columns(stream, from.view(), 0, kWidth, to.view(), 0);
    copy_columns(stream, to.view(), 0, kWidth, from.view(), 0);  // both have pages of their own now
    synchronize(stream);
    for (int i = 0; i < kCalibrationRepetitions; ++i) {
      world.barrier();
      double seconds = 0;
      {
        const Stopwatch stopwatch(seconds);
        copy_columns(stream, from.view(), 0, kWidth, to.view(), 0);
        synchronize(stream);
      }
      rates.add(work_of_memory(bytes), seconds);
    }
  }
}

}  // namespace switchyard
