// Products of packed weights on AMX.

#pragma once

#include "amx.h"
#include "lanes.h"

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
// sums[16 or 32, 32] = or += tokens (rows of x, `stride` words apart) times half a panel of weights (steps `width` words
// apart). Words hold int8 times uint8, summed in int32 from nothing, or bfloat16, added to the float32 that are there.
template <bool kIntegers>
static inline void multiply_tiles(const int32_t* x, int64_t stride, bool both, const int32_t* w, int64_t width,
                                  int64_t steps, void* sums, int64_t ld) {
  char* out = static_cast<char*>(sums);
  const int64_t below = kTile * ld * 4, next = ld * 4;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // GCC does not know that memory is read, either
  if constexpr (kIntegers) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, out, next);
    _tile_loadd(1, out + 64, next);
    if (both) _tile_loadd(2, out + below, next);
    if (both) _tile_loadd(3, out + below + 64, next);
  }
  for (int64_t s = 0; s < steps; s += kTile, x += kTile, w += kTile * width) {
    _tile_loadd(6, w, width * 4);
    _tile_loadd(7, w + kTile, width * 4);
    _tile_loadd(4, x, stride * 4);
    if constexpr (kIntegers) {
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
    } else {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (!both) continue;
    _tile_loadd(5, x + kTile * stride, stride * 4);
    if constexpr (kIntegers) {
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    } else {
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, out, next);
  _tile_stored(1, out + 64, next);
  if (both) _tile_stored(2, out + below, next);
  if (both) _tile_stored(3, out + below + 64, next);
}
#else
template <bool kIntegers>
static void multiply_tiles(const int32_t*, int64_t, bool, const int32_t*, int64_t, int64_t, void*, int64_t) {}
#endif
