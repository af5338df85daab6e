// SWITCHYARD_UNROLL before a loop over registers: an array that is indexed by a variable would live in memory.
#pragma once

#if defined(__CUDACC__)
#define SWITCHYARD_UNROLL _Pragma("unroll")
#else
#define SWITCHYARD_UNROLL
#endif
