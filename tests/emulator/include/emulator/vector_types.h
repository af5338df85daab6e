// dim3, float4 and the like.
#pragma once

#include <cstdint>

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

// Vectors of two and four, aligned as a GPU loads them: as a whole.
#define SWITCHYARD_EMULATED_VECTOR2(name, type) \
  struct alignas(2 * sizeof(type)) name {       \
    type x, y;                                  \
  };                                            \
  constexpr name make_##name(type x, type y) {  \
    return {x, y};                              \
  }
#define SWITCHYARD_EMULATED_VECTOR4(name, type, alignment)     \
  struct alignas(alignment) name {                             \
    type x, y, z, w;                                           \
  };                                                           \
  constexpr name make_##name(type x, type y, type z, type w) { \
    return {x, y, z, w};                                       \
  }
SWITCHYARD_EMULATED_VECTOR2(float2, float)
SWITCHYARD_EMULATED_VECTOR2(double2, double)
SWITCHYARD_EMULATED_VECTOR2(int2, int)
SWITCHYARD_EMULATED_VECTOR2(uint2, unsigned)
SWITCHYARD_EMULATED_VECTOR2(short2, short)
SWITCHYARD_EMULATED_VECTOR2(ushort2, unsigned short)
SWITCHYARD_EMULATED_VECTOR2(longlong2, long long)
SWITCHYARD_EMULATED_VECTOR2(ulonglong2, unsigned long long)
SWITCHYARD_EMULATED_VECTOR4(float4, float, 16)
SWITCHYARD_EMULATED_VECTOR4(int4, int, 16)
SWITCHYARD_EMULATED_VECTOR4(uint4, unsigned, 16)
SWITCHYARD_EMULATED_VECTOR4(short4, short, 8)
SWITCHYARD_EMULATED_VECTOR4(ushort4, unsigned short, 8)
SWITCHYARD_EMULATED_VECTOR4(uchar4, unsigned char, 4)
#undef SWITCHYARD_EMULATED_VECTOR2
#undef SWITCHYARD_EMULATED_VECTOR4
