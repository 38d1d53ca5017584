// AMX, where the processor has it and Linux grants it: a tile is 16 rows of 16 words of 32 bits.

#pragma once

#include <cstdint>

using std::int64_t;
constexpr int64_t kTile = 16;

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Linux grants the tiles' registers to a process that asks.
static bool tiles_granted() {
  static const bool granted = syscall(SYS_arch_prctl, /* ARCH_REQ_XCOMP_PERM */ 0x1023, /* tile data */ 18) == 0;
  return granted;
}

// While one lives, its thread may use the tiles. Those of tokens and sums have `rows` rows, those of weights all 16.
struct Tiles {
  const bool on;
  explicit Tiles(int64_t rows) : on(rows > 0) {
    if (!on) return;
    struct alignas(64) {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t rows[16] = {};
    } shape;
    for (int i = 0; i < 8; ++i) shape.rows[i] = i < 6 ? rows : kTile;
    __asm__ volatile("ldtilecfg %0" ::"m"(shape));  // GCC's _tile_loadconfig does not say that all of it is read
  }
  ~Tiles() {
    if (on) _tile_release();
  }
};
#else
static bool tiles_granted() { return false; }
struct Tiles {
  explicit Tiles(int64_t) {}
};
#endif
