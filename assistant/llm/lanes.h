// Vectors of 16 numbers, which the compiler maps to what the processor has.

#pragma once

#include <cmath>
#include <cstring>

#include "threads.h"

typedef float Lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t IntLanes __attribute__((vector_size(64), aligned(4)));
constexpr int64_t kLanes = 16;

static inline Lanes load(const float* p) { return *reinterpret_cast<const Lanes*>(p); }
static inline Lanes load(const uint16_t* p) {  // bfloat16, the upper half of a float32
  typedef uint16_t Halves __attribute__((vector_size(32), aligned(2)));
  return reinterpret_cast<Lanes>(__builtin_convertvector(*reinterpret_cast<const Halves*>(p), IntLanes) << 16);
}
static inline void store(float* p, Lanes x) { *reinterpret_cast<Lanes*>(p) = x; }
static inline Lanes broadcast(float x) { return x - Lanes{}; }
static inline float sum(Lanes x) {
  typedef float Half __attribute__((vector_size(32), aligned(4)));
  typedef float Quarter __attribute__((vector_size(16), aligned(4)));
  const float* p = reinterpret_cast<const float*>(&x);
  Half h = *reinterpret_cast<const Half*>(p) + *reinterpret_cast<const Half*>(p + 8);
  const float* q = reinterpret_cast<const float*>(&h);
  Quarter s = *reinterpret_cast<const Quarter*>(q) + *reinterpret_cast<const Quarter*>(q + 4);
  return (s[0] + s[1]) + (s[2] + s[3]);
}

static inline Lanes exponential(Lanes x) {  // e^x for x <= 0, relative error below 2e-7
  x = x * 1.44269504089f;
  x = x < -126.0f ? broadcast(-126.0f) : x;
  const IntLanes whole = __builtin_convertvector(x - 0.5f, IntLanes);
  const Lanes f = (x - __builtin_convertvector(whole, Lanes)) * 0.69314718056f;
  const Lanes p = 1.0f + f * (1.0f + f * (0.5f + f * (1.0f / 6 + f * (1.0f / 24 + f * (1.0f / 120 + f * (1.0f / 720))))));
  return reinterpret_cast<Lanes>(reinterpret_cast<IntLanes>(p) + (whole << 23));
}

// out[k] = x over its root mean square, times norm + offset.
static inline void normalise(const float* x, int64_t k, const float* norm, float epsilon, float offset, float* out) {
  float squares = 0;
  for (int64_t i = 0; i < k; ++i) squares += x[i] * x[i];
  const float factor = 1.0f / std::sqrt(squares / k + epsilon);
  for (int64_t i = 0; i < k; ++i) out[i] = x[i] * factor * (norm[i] + offset);
}

static inline void copy(const float* from, int64_t count, float* to) { std::memcpy(to, from, count * sizeof(float)); }
static inline void copy(const float* from, int64_t count, uint16_t* to) {  // to bfloat16: rounds to nearest even
  const uint32_t* bits = reinterpret_cast<const uint32_t*>(from);
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<uint16_t>((bits[i] + 0x7FFF + (bits[i] >> 16 & 1)) >> 16);
}
