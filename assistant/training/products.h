// Products of matrices in bfloat16, summed in float32: operands rewritten in pairs, tiles of AMX or vectors of AVX-512.
//
// Both instruction sets multiply pairs along the summed axis, so the left operand is rewritten in rows or tiles and the
// right one in panels of 32 columns, [panel][pair][32]. See Goto and van de Geijn, "Anatomy of high-performance matrix
// multiplication" (2008).

#pragma once

#include <immintrin.h>

#include <cstring>
#include <vector>

#include "../llm/amx.h"
#include "../llm/threads.h"

using Pair = uint32_t;  // two bfloat16
using Half = uint16_t;  // one

constexpr int64_t kPanel = 32, kDepth = 256, kBlock = 256;  // columns of a panel; pairs and rows of a cache block

// The left operand of a product: where its bfloat16 lie, and the steps, in pairs, to the next row, to the next 32 columns
// and to the next 16 rows.
struct Left {
  const Pair* data;
  int64_t row, columns, rows;
  const Pair* at(int64_t i, int64_t pair) const { return data + i / 16 * rows + pair / 16 * columns; }
};
static Left in_rows(const void* data, int64_t pairs) { return {(const Pair*)data, pairs, 16, 16 * pairs}; }
static Left in_tiles(const void* data, int64_t pairs) { return {(const Pair*)data, 16, 256, 16 * pairs}; }

// ------------------------------------------------------------------------------------------------- rewriting in pairs

static inline __m512i evens_and_odds() {
  return _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19,
                          3, 18, 2, 17, 1, 16, 0);
}

// 16 values of a row and below them, in the upper half, those of the row `ld` further on, in bfloat16.
static inline __m512i two_rows(const float* x, int64_t ld) {
  return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + ld), _mm512_loadu_ps(x));
}
static inline __m512i two_rows(const Half* x, int64_t ld) {
  const __m512i one = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i*)x));
  return _mm512_inserti64x4(one, _mm256_loadu_si256((const __m256i*)(x + ld)), 1);
}

// x[m, k] float32 with rows `ld` apart → bfloat16 tiles; k a multiple of 32.
static void to_tiles(const float* x, int64_t ld, int64_t m, int64_t k, Pair* out) {
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < k; j += 32)
      _mm512_storeu_si512(out + i / 16 * 8 * k + j * 8 + i % 16 * 16, two_rows(x + i * ld + j, 16));
}

// x[k, n], float32 → panels of pairs along k, each of `pairs` pairs, of which these are some; k even, n a multiple of 32.
static void to_pairs(const float* x, int64_t ld, int64_t k, int64_t n, Pair* out, int64_t pairs) {
  const __m512i order = evens_and_odds();
  for (int64_t p = 0; p < n; p += kPanel, out += pairs * kPanel)
    for (int64_t j = 0; j < k; j += 2)
      for (int64_t h = 0; h < kPanel; h += 16)
        _mm512_storeu_si512(out + j / 2 * kPanel + h,
                            _mm512_permutexvar_epi16(order, two_rows(x + j * ld + p + h, ld)));
}
static void to_pairs(const float* x, int64_t ld, int64_t k, int64_t n, Pair* out) { to_pairs(x, ld, k, n, out, k / 2); }

// Transposes 16 x 16 words of 32 bits: in each of four steps, rows a distance apart exchange halves.
static inline void transpose(__m512i r[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = _mm512_unpacklo_epi64(t[i + j], t[i + j + 2]);
      r[i + 2 * j + 1] = _mm512_unpackhi_epi64(t[i + j], t[i + j + 2]);
    }
#pragma GCC unroll 2
  for (int i = 0; i < 16; i += 8)
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      t[i + j] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0x88);
      t[i + j + 4] = _mm512_shuffle_i32x4(r[i + j], r[i + j + 4], 0xdd);
    }
#pragma GCC unroll 8
  for (int j = 0; j < 8; ++j) {
    r[j] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0x88);
    r[j + 8] = _mm512_shuffle_i32x4(t[j], t[j + 8], 0xdd);
  }
}

// x[n, k] float32 → panels of pairs along k; k a multiple of 32, n of 16.
static void to_pairs_transposed(const float* x, int64_t ld, int64_t k, int64_t n, Pair* out) {
  for (int64_t i = 0; i < n; i += 16)
    for (int64_t j = 0; j < k; j += 32) {
      __m512i rows[16];
      for (int r = 0; r < 16; ++r) rows[r] = two_rows(x + (i + r) * ld + j, 16);
      transpose(rows);
      Pair* to = out + i / kPanel * (k / 2) * kPanel + j / 2 * kPanel + i % kPanel;
      for (int p = 0; p < 16; ++p) _mm512_storeu_si512(to + p * kPanel, rows[p]);
    }
}

// x[k, m], float32 or bfloat16 → bfloat16 tiles of [m, k]; k a multiple of 32, m of 16.
template <typename T>
static void to_tiles_transposed(const T* x, int64_t ld, int64_t k, int64_t m, Pair* out) {
  const __m512i order = evens_and_odds();
  for (int64_t i = 0; i < m; i += 16)
    for (int64_t j = 0; j < k; j += 32) {
      __m512i pairs[16];
      for (int p = 0; p < 16; ++p)
        pairs[p] = _mm512_permutexvar_epi16(order, two_rows(x + (j + 2 * p) * ld + i, ld));
      transpose(pairs);
      for (int r = 0; r < 16; ++r) _mm512_storeu_si512(out + i / 2 * k + j * 8 + r * 16, pairs[r]);
    }
}

// ---------------------------------------------------------------------------------------------------------- products

// c[16 or 32, 32] (rows ldc apart) = or += rows from `i` on times one panel, over pairs [from, from + pairs).
static inline void tile_avx512(const Left& left, int64_t i, int64_t from, const Pair* b, int64_t pairs, int64_t rows,
                               float* c, int64_t ldc, bool add) {
  for (int64_t end = i + rows; i < end; i += 8, c += 8 * ldc) {
    __m512 sum[8][2];
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
      for (int h = 0; h < 2; ++h) sum[r][h] = add ? _mm512_loadu_ps(c + r * ldc + h * 16) : _mm512_setzero_ps();
    for (int64_t p = 0; p < pairs; ++p) {
      const __m512bh first = (__m512bh)_mm512_loadu_si512(b + p * kPanel);
      const __m512bh second = (__m512bh)_mm512_loadu_si512(b + p * kPanel + 16);
      const Pair* a = left.at(i, from + p) + i % 16 * left.row + p % 16;
#pragma GCC unroll 8
      for (int r = 0; r < 8; ++r) {
        const __m512bh x = (__m512bh)_mm512_set1_epi32(a[r * left.row]);
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, first);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, second);
      }
    }
#pragma GCC unroll 8
    for (int r = 0; r < 8; ++r)
      for (int h = 0; h < 2; ++h) _mm512_storeu_ps(c + r * ldc + h * 16, sum[r][h]);
  }
}

#if defined(__AMX_INT8__) && defined(__AMX_BF16__)
static inline void tile_amx(const Left& left, int64_t i, int64_t from, const Pair* b, int64_t pairs, int64_t rows,
                            float* c, int64_t ldc, bool add) {
  std::atomic_signal_fence(std::memory_order_seq_cst);  // GCC does not know that a tile's load reads memory
  const Pair* a = left.at(i, from);
  const bool both = rows > 16;
  if (add) {
    _tile_loadd(0, c, ldc * 4);
    _tile_loadd(1, c + 16, ldc * 4);
    if (both) _tile_loadd(2, c + 16 * ldc, ldc * 4);
    if (both) _tile_loadd(3, c + 16 * ldc + 16, ldc * 4);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t p = 0; p < pairs; p += 16, a += left.columns) {
    _tile_loadd(4, a, left.row * 4);
    _tile_loadd(6, b + p * kPanel, kPanel * 4);
    _tile_loadd(7, b + p * kPanel + 16, kPanel * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if (both) {
      _tile_loadd(5, a + left.rows, left.row * 4);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, c, ldc * 4);
  _tile_stored(1, c + 16, ldc * 4);
  if (both) _tile_stored(2, c + 16 * ldc, ldc * 4);
  if (both) _tile_stored(3, c + 16 * ldc + 16, ldc * 4);
}
#else
constexpr auto tile_amx = tile_avx512;
#endif

// c[m, n] (rows ldc apart) = or += a · b over `pairs` pairs, a multiple of 16; m a multiple of 16, n of 32. With AMX, a
// `Tiles` must live.
static void product(const Left& a, const Pair* b, int64_t pairs, int64_t m, int64_t n, float* c, int64_t ldc,
                    bool add) {
  const auto tile = tiles_granted() ? tile_amx : tile_avx512;
  const int64_t step = up((pairs - 1) / ((pairs - 1) / kDepth + 1) + 1, 16);  // equal parts
  for (int64_t from = 0; from < pairs; from += step, add = true) {
    const int64_t depth = std::min(step, pairs - from);
    for (int64_t block = 0; block < m; block += kBlock)
      for (int64_t col = 0; col < n; col += kPanel)
        for (int64_t i = block; i < std::min(m, block + kBlock); i += 32)
          tile(a, i, from, b + col * pairs + from * kPanel, depth, std::min<int64_t>(32, m - i), c + i * ldc + col,
               ldc, add);
  }
}

// Runs work(item) for every item on the pool's threads and this one.
template <typename Work>
static void for_each(ffi::ThreadPool& pool, int64_t items, Work work) {
  parallel(pool, items, 1, [=](int64_t begin, int64_t end) {
    [[maybe_unused]] const Tiles tiles(tiles_granted() ? kTile : 0);
    for (int64_t i = begin; i < end; ++i) work(i);
  });
}

template <typename T>
static T* scratch(int slot, int64_t size) {
  static thread_local std::vector<char> buffers[16];
  std::vector<char>& buffer = buffers[slot];
  if (int64_t(buffer.size()) < size * int64_t(sizeof(T)) + 64) buffer.resize(size * sizeof(T) + 64);
  return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(buffer.data()) + 63) / 64 * 64);
}

// w[k, n], or w[n, k] when transposed, as a right operand.
static Pair* panels(ffi::ThreadPool& pool, int slot, const float* w, int64_t k, int64_t n, bool transposed) {
  Pair* out = scratch<Pair>(slot, k / 2 * n);
  for_each(pool, n / kPanel, [=](int64_t panel) {
    Pair* at = out + panel * kPanel * k / 2;
    if (transposed) to_pairs_transposed(w + panel * kPanel * k, k, k, kPanel, at);
    else to_pairs(w + panel * kPanel, n, k, kPanel, at);
  });
  return out;
}

static inline __m512 exponential2(__m512 x) {  // 2 to the power of x, relative error below 1e-5: the result is rounded
  x = _mm512_min_ps(x, _mm512_set1_ps(90.0f));
  const __m512 n = _mm512_roundscale_ps(x, 0), r = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(0.00956051021f);
  for (float c : {0.0559170392f, 0.240249811f, 0.693121968f, 0.999999191f}) p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  return _mm512_scalef_ps(p, n);
}

static inline void store(Half* to, __m512 x) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x)); }
