// CUDA's header, as much of it as Switchyard uses, over the emulated GPU (../README.md).
#pragma once

#include <math.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) __attribute__((aligned(bytes)))

#include "emulator/atomics.h"
#include "emulator/block.h"
#include "emulator/hopper.h"
#include "emulator/intrinsics.h"
#include "emulator/runtime_api.h"
#include "emulator/shared.h"
#include "emulator/tensor_core.h"
#include "emulator/vector_types.h"
#include "emulator/warp.h"
