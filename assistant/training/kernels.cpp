// Training on a CPU with AVX-512 BF16: matrix products and the attention of packs in bfloat16, summed in float32.
//
// XLA's float32 product reaches half of what these instructions can do twice over, and its attention writes every score
// to memory several times. Both operands of a product are first rewritten in pairs along the summed axis, because one
// instruction multiplies pairs: `Left` says where the pair of a row lies, the right operand is in panels of 32 columns,
// [panel][pair][32]. See Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008), and Dao et
// al., "FlashAttention" (2022), for the backward pass that computes the scores again.

#include <immintrin.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using std::int64_t;
using Pair = uint32_t;  // two bfloat16
using Half = uint16_t;  // one

constexpr int64_t kTile = 8, kPanel = 32, kDepth = 256;  // rows of a tile, columns of a panel, pairs of a cache block

static int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

struct Left {
  const Pair* data;
  int64_t row, pair, panel;  // steps, in pairs, to the next row, the next pair and the next 32 rows
  const Pair* at(int64_t i) const { return data + i / kPanel * panel + i % kPanel * row; }
};

// ------------------------------------------------------------------------------------------------- rewriting in pairs

// x[m, k] float32 with rows `ld` apart → bfloat16 [m][k]; k a multiple of 16.
static void to_rows(const float* x, int64_t ld, int64_t m, int64_t k, Half* out) {
  for (int64_t i = 0; i < m; ++i, x += ld, out += k)
    for (int64_t j = 0; j < k; j += 16)
      _mm256_storeu_si256((__m256i*)(out + j), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + j)));
}

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

// x[k, n], float32 or bfloat16 → panels of pairs along k; k even, n a multiple of 32.
template <typename T>
static void to_pairs(const T* x, int64_t ld, int64_t k, int64_t n, Pair* out) {
  const __m512i order = evens_and_odds();
  for (int64_t p = 0; p < n; p += kPanel)
    for (int64_t j = 0; j < k; j += 2)
      for (int64_t h = 0; h < kPanel; h += 16, out += 16)
        _mm512_storeu_si512(out, _mm512_permutexvar_epi16(order, two_rows(x + j * ld + p + h, ld)));
}

// x[n, k] float32 → panels of pairs along k; k a multiple of 16, n of 32.
static void to_pairs_transposed(const float* x, int64_t ld, int64_t k, int64_t n, Pair* out) {
  for (int64_t i = 0; i < n; ++i) {
    Pair* to = out + i / kPanel * (k / 2) * kPanel + i % kPanel;
    for (int64_t j = 0; j < k; j += 16) {
      alignas(32) Pair words[8];
      _mm256_store_si256((__m256i*)words, (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(x + i * ld + j)));
      for (int64_t w = 0; w < 8; ++w) to[(j / 2 + w) * kPanel] = words[w];
    }
  }
}

// ---------------------------------------------------------------------------------------------------------- products

struct Tile {
  __m512 sum[kTile][2];

  void clear() {
#pragma GCC unroll 8
    for (int i = 0; i < kTile; ++i) sum[i][0] = sum[i][1] = _mm512_setzero_ps();
  }
  // Adds the product of 8 rows, `row` apart, and one panel over `pairs` pairs.
  inline void add(const Pair* a, int64_t row, int64_t step, const Pair* b, int64_t pairs) {
    for (int64_t p = 0; p < pairs; ++p, a += step, b += kPanel) {
      const __m512bh left = (__m512bh)_mm512_loadu_si512(b), right = (__m512bh)_mm512_loadu_si512(b + 16);
#pragma GCC unroll 8
      for (int i = 0; i < kTile; ++i) {
        const __m512bh x = (__m512bh)_mm512_set1_epi32(a[i * row]);
        sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, left);
        sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, right);
      }
    }
  }
};

// c[m, n] (rows ldc apart) = or += a · b over `pairs` pairs; m a multiple of 8, n of 32.
static void product(Left a, const Pair* b, int64_t pairs, int64_t m, int64_t n, float* c, int64_t ldc, bool add) {
  for (int64_t from = 0; from < pairs; from += kDepth, add = true) {
    const int64_t depth = std::min(kDepth, pairs - from);
    for (int64_t block = 0; block < m; block += 256)
      for (int64_t col = 0; col < n; col += kPanel)
        for (int64_t i = block; i < std::min(m, block + 256); i += kTile) {
          Tile t;
          t.clear();
          t.add(a.at(i) + from * a.pair, a.row, a.pair, b + col * pairs + from * kPanel, depth);
#pragma GCC unroll 8
          for (int r = 0; r < kTile; ++r)
            for (int h = 0; h < 2; ++h) {
              float* to = c + (i + r) * ldc + col + h * 16;
              _mm512_storeu_ps(to, add ? _mm512_add_ps(t.sum[r][h], _mm512_loadu_ps(to)) : t.sum[r][h]);
            }
        }
  }
}

// Runs work(item) for every item on the pool's threads and this one.
template <typename Work>
static void parallel(ffi::ThreadPool& pool, int64_t items, Work work) {
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  auto run = [shared, items, work] {
    for (int64_t i; (i = shared->next.fetch_add(1)) < items; shared->done.fetch_add(1, std::memory_order_release))
      work(i);
  };
  for (int64_t i = 1; i < std::min<int64_t>(pool.num_threads(), items); ++i) pool.Schedule(decltype(run)(run));
  run();
  while (shared->done.load(std::memory_order_acquire) < items) std::this_thread::yield();
}

template <typename T>
static T* scratch(int slot, int64_t size) {
  static thread_local std::vector<char> buffers[16];
  std::vector<char>& buffer = buffers[slot];
  if (int64_t(buffer.size()) < size * int64_t(sizeof(T)) + 64) buffer.resize(size * sizeof(T) + 64);
  return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(buffer.data()) + 63) / 64 * 64);
}

// out[M, N] = op(x) · op(w), where op transposes if asked to.
static ffi::Error Multiply(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> w,
                           ffi::ResultBuffer<ffi::F32> out, bool transpose_x, bool transpose_w) {
  const int64_t m = out->dimensions()[0], n = out->dimensions()[1], k = x.dimensions()[transpose_x ? 0 : 1];
  const float *px = x.typed_data(), *pw = w.typed_data();
  float* to = out->typed_data();
  Pair* right = scratch<Pair>(0, k / 2 * n);
  if (transpose_w) to_pairs_transposed(pw, k, k, n, right);
  else to_pairs(pw, n, k, n, right);
  const int64_t chunk = transpose_x ? kPanel : 256;
  parallel(pool, (m + chunk - 1) / chunk, [=](int64_t item) {
    const int64_t from = item * chunk, rows = std::min(chunk, m - from);
    Pair* left = scratch<Pair>(1, rows * k / 2);
    Left a{left, k / 2, 1, kPanel * k / 2};
    if (transpose_x) {
      to_pairs(px + from, m, k, rows, left);
      a = Left{left, 1, kPanel, 0};
    } else {
      to_rows(px + from * k, k, rows, k, (Half*)left);
    }
    product(a, right, k / 2, rows, n, to + from * n, n, false);
  });
  return ffi::Error::Success();
}

// --------------------------------------------------------------------------------------------------------- attention

static inline __m512 exponential(__m512 x) {  // relative error below 2e-7
  x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-87.0f)), _mm512_set1_ps(60.0f));
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  for (float c : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f})
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
  p = _mm512_add_ps(_mm512_fmadd_ps(_mm512_mul_ps(p, r), r, r), _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

// The shapes of a batch of packs: `prefix` shared tokens, then rows of `length`; `real[b]` tokens of the prefix count.
struct Packs {
  int64_t batch, tokens, heads, kv, dim, prefix, length;
  const int32_t *real, *segments;
  float scale;
};

// Queries of one head and the keys that they may see: a range of the prefix and a range of their own row.
struct Block {
  int64_t first, count;         // queries, as tokens
  int64_t far, near, near_end;  // keys [0, far) and [near, near_end); multiples of 32 from their starts
  int64_t width() const { return far + near_end - near; }
};

template <typename Work>
static void for_blocks(const Packs& s, int64_t b, Work work) {
  const int64_t real = up(s.real[b], kPanel);
  for (int64_t t = 0; t < s.prefix; t += 64) {
    const int64_t count = std::min<int64_t>(64, s.prefix - t);
    work(Block{t, count, up(t + count, kPanel), 0, 0});
  }
  for (int64_t row = s.prefix; row < s.tokens; row += s.length)
    for (int64_t t = 0; t < s.length; t += 64) {
      const int64_t count = std::min<int64_t>(64, s.length - t);
      const int32_t* segment = s.segments + b * (s.tokens - s.prefix) + (row - s.prefix);
      int64_t start = t;
      while (start > 0 && segment[start - 1] == segment[t]) --start;
      work(Block{row + t, count, real, row + start / kPanel * kPanel, row + up(t + count, kPanel)});
    }
}

// Which of 16 keys from `key` on query `q` sees.
static inline __mmask16 visible(const Packs& s, int64_t b, int64_t q, int64_t key, bool near) {
  const __m512i index = _mm512_add_epi32(_mm512_set1_epi32(int(key)),
                                         _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  if (q < s.prefix) return _mm512_cmple_epi32_mask(index, _mm512_set1_epi32(int(q)));
  if (!near) return _mm512_cmplt_epi32_mask(index, _mm512_set1_epi32(s.real[b]));
  const int32_t* segment = s.segments + b * (s.tokens - s.prefix) - s.prefix;
  const __mmask16 before = _mm512_cmple_epi32_mask(index, _mm512_set1_epi32(int(q)));
  return _mm512_mask_cmpeq_epi32_mask(before, _mm512_loadu_si512(segment + key), _mm512_set1_epi32(segment[q]));
}

// Calls use(row of the block, column of the block's width, two vectors of exp(scale · q · k)) for tiles of 8 x 32.
template <typename Use>
static void scores(const Packs& s, int64_t b, const Block& block, const Pair* q, const Pair* keys, Use use) {
  const int64_t pairs = s.dim / 2;
  const __m512 scale = _mm512_set1_ps(s.scale);
  for (int64_t col = 0; col < block.width(); col += kPanel) {
    const bool near = col >= block.far;
    const int64_t key = near ? block.near + col - block.far : col;
    for (int64_t i = 0; i < block.count; i += kTile) {
      Tile t;
      t.clear();
      t.add(q + i * pairs, pairs, 1, keys + col * pairs, pairs);
#pragma GCC unroll 8
      for (int r = 0; r < kTile; ++r)
        for (int h = 0; h < 2; ++h)
          t.sum[r][h] = _mm512_maskz_mov_ps(visible(s, b, block.first + i + r, key + 16 * h, near),
                                            exponential(_mm512_mul_ps(t.sum[r][h], scale)));
      use(i, col, t);
    }
  }
}

static inline void store(Half* to, __m512 x) { _mm256_storeu_si256((__m256i*)to, (__m256i)_mm512_cvtneps_pbh(x)); }

// The keys (or values) of a block in panels: those of the prefix were made before, those of the row follow.
static void near_keys(const Packs& s, const Block& block, const float* x, Pair* panels) {
  to_pairs_transposed(x + block.near * s.kv * s.dim, s.kv * s.dim, s.dim, block.near_end - block.near,
                      panels + block.far * s.dim / 2);
}

static ffi::Error Attend(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> q, ffi::Buffer<ffi::F32> k,
                         ffi::Buffer<ffi::F32> v, ffi::Buffer<ffi::S32> real, ffi::Buffer<ffi::S32> segments,
                         ffi::ResultBuffer<ffi::F32> out, ffi::ResultBuffer<ffi::F32> sums, float scale) {
  const auto d = q.dimensions();
  const int64_t rows = segments.dimensions()[1], length = segments.dimensions()[2];
  const Packs s{d[0], d[1], d[2], k.dimensions()[2], d[3], d[1] - rows * length, length,
                real.typed_data(), segments.typed_data(), scale};
  const float *pq = q.typed_data(), *pk = k.typed_data(), *pv = v.typed_data();
  float *po = out->typed_data(), *pz = sums->typed_data();
  parallel(pool, s.batch * s.kv, [=](int64_t item) {
    const int64_t b = item / s.kv, kv = item % s.kv, group = s.heads / s.kv, widest = up(s.prefix, kPanel) + s.length;
    const float *key = pk + (b * s.tokens * s.kv + kv) * s.dim, *value = pv + (b * s.tokens * s.kv + kv) * s.dim;
    const int64_t ld = s.kv * s.dim, out_ld = s.heads * s.dim, all = up(s.prefix, kPanel);
    Pair* keys = scratch<Pair>(0, widest * s.dim / 2);
    Pair* far_values = scratch<Pair>(1, widest * s.dim / 2);  // laid out anew whenever the number of keys changes
    Pair* near_values = scratch<Pair>(2, s.length * s.dim / 2);
    Half* probabilities = scratch<Half>(3, 64 * widest);
    Pair* queries = scratch<Pair>(4, 64 * s.dim / 2);
    to_pairs_transposed(key, ld, s.dim, all, keys);
    int64_t laid = -1;
    for_blocks(s, b, [&](const Block& block) {
      const int64_t width = block.width(), near = block.near_end - block.near;
      if (near) to_pairs(value + block.near * ld, ld, near, s.dim, near_values);
      if (near) near_keys(s, block, key, keys);
      if (laid != block.far) to_pairs(value, ld, block.far, s.dim, far_values), laid = block.far;
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        float* z = pz + (b * s.heads + h) * s.tokens + block.first;
        float* o = po + (b * s.tokens + block.first) * out_ld + h * s.dim;
        to_rows(pq + (b * s.tokens + block.first) * out_ld + h * s.dim, out_ld, block.count, s.dim, (Half*)queries);
        std::memset(z, 0, block.count * sizeof(float));
        scores(s, b, block, queries, keys, [&](int64_t i, int64_t col, Tile& t) {
#pragma GCC unroll 8
          for (int r = 0; r < kTile; ++r) {
            z[i + r] += _mm512_reduce_add_ps(_mm512_add_ps(t.sum[r][0], t.sum[r][1]));
            for (int c = 0; c < 2; ++c) store(probabilities + (i + r) * width + col + 16 * c, t.sum[r][c]);
          }
        });
        const Left left{(Pair*)probabilities, width / 2, 1, kPanel * width / 2};
        product(left, far_values, block.far / 2, block.count, s.dim, o, out_ld, false);
        const Left rest{left.data + block.far / 2, left.row, 1, left.panel};
        if (near) product(rest, near_values, near / 2, block.count, s.dim, o, out_ld, true);
        for (int64_t i = 0; i < block.count; ++i)
          for (int64_t j = 0; j < s.dim; ++j) o[i * out_ld + j] /= z[i];
      }
    });
  });
  return ffi::Error::Success();
}

static ffi::Error AttendBackward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> q, ffi::Buffer<ffi::F32> k,
                                 ffi::Buffer<ffi::F32> v, ffi::Buffer<ffi::S32> real, ffi::Buffer<ffi::S32> segments,
                                 ffi::Buffer<ffi::F32> out, ffi::Buffer<ffi::F32> sums, ffi::Buffer<ffi::F32> gradient,
                                 ffi::ResultBuffer<ffi::F32> dq, ffi::ResultBuffer<ffi::F32> dk,
                                 ffi::ResultBuffer<ffi::F32> dv, float scale) {
  const auto d = q.dimensions();
  const int64_t rows = segments.dimensions()[1], length = segments.dimensions()[2];
  const Packs s{d[0], d[1], d[2], k.dimensions()[2], d[3], d[1] - rows * length, length,
                real.typed_data(), segments.typed_data(), scale};
  const float *pq = q.typed_data(), *pk = k.typed_data(), *pv = v.typed_data(), *pz = sums.typed_data();
  const float *po = out.typed_data(), *pg = gradient.typed_data();
  float *pdq = dq->typed_data(), *pdk = dk->typed_data(), *pdv = dv->typed_data();
  std::memset(pdk, 0, k.element_count() * sizeof(float));
  std::memset(pdv, 0, v.element_count() * sizeof(float));
  parallel(pool, s.batch * s.kv, [=](int64_t item) {
    const int64_t b = item / s.kv, kv = item % s.kv, group = s.heads / s.kv, widest = up(s.prefix, kPanel) + s.length;
    const int64_t first = (b * s.tokens * s.kv + kv) * s.dim, ld = s.kv * s.dim, out_ld = s.heads * s.dim;
    const float *key = pk + first, *value = pv + first;
    Pair* keys = scratch<Pair>(0, widest * s.dim / 2);
    Pair* far_keys = scratch<Pair>(1, widest * s.dim / 2);
    Pair* near_keys_by_token = scratch<Pair>(2, s.length * s.dim / 2);
    Half* probabilities = scratch<Half>(3, 64 * widest);
    Pair* queries = scratch<Pair>(4, 64 * s.dim / 2);
    Pair* values = scratch<Pair>(5, widest * s.dim / 2);
    Half* changes = scratch<Half>(6, 64 * widest);
    Pair* gradients = scratch<Pair>(7, 64 * s.dim / 2);
    Pair* by_key = scratch<Pair>(8, 32 * widest);
    Pair* by_query = scratch<Pair>(9, 32 * s.dim);
    to_pairs_transposed(key, ld, s.dim, up(s.prefix, kPanel), keys);
    to_pairs_transposed(value, ld, s.dim, up(s.prefix, kPanel), values);
    int64_t laid = -1;
    for_blocks(s, b, [&](const Block& block) {
      const int64_t width = block.width(), near = block.near_end - block.near, count = block.count;
      if (near) {
        near_keys(s, block, key, keys);
        near_keys(s, block, value, values);
        to_pairs(key + block.near * ld, ld, near, s.dim, near_keys_by_token);
      }
      if (laid != block.far) to_pairs(key, ld, block.far, s.dim, far_keys), laid = block.far;
      for (int64_t h = kv * group; h < (kv + 1) * group; ++h) {
        const int64_t at = (b * s.tokens + block.first) * out_ld + h * s.dim;
        const float* z = pz + (b * s.heads + h) * s.tokens + block.first;
        float delta[64];
        for (int64_t i = 0; i < count; ++i) {
          delta[i] = 0;
          for (int64_t j = 0; j < s.dim; ++j) delta[i] += po[at + i * out_ld + j] * pg[at + i * out_ld + j];
        }
        to_rows(pq + at, out_ld, count, s.dim, (Half*)queries);
        to_rows(pg + at, out_ld, count, s.dim, (Half*)gradients);
        scores(s, b, block, queries, keys, [&](int64_t i, int64_t col, Tile& t) {
          Tile g;
          g.clear();
          g.add(gradients + i * s.dim / 2, s.dim / 2, 1, values + col * s.dim / 2, s.dim / 2);
#pragma GCC unroll 8
          for (int r = 0; r < kTile; ++r)
            for (int c = 0; c < 2; ++c) {
              const __m512 p = _mm512_div_ps(t.sum[r][c], _mm512_set1_ps(z[i + r]));
              const __m512 change = _mm512_mul_ps(p, _mm512_sub_ps(g.sum[r][c], _mm512_set1_ps(delta[i + r])));
              store(probabilities + (i + r) * width + col + 16 * c, p);
              store(changes + (i + r) * width + col + 16 * c, _mm512_mul_ps(change, _mm512_set1_ps(s.scale)));
            }
        });
        const Left left{(Pair*)changes, width / 2, 1, kPanel * width / 2};
        product(left, far_keys, block.far / 2, count, s.dim, pdq + at, out_ld, false);
        const Left rest{left.data + block.far / 2, left.row, 1, left.panel};
        if (near) product(rest, near_keys_by_token, near / 2, count, s.dim, pdq + at, out_ld, true);
        // Sums over queries: 32 keys are a panel of by_key.
        auto to_keys = [&](const Half* weights, const float* other, float* result) {
          to_pairs(weights, width, count, width, by_key);
          to_pairs(other + at, out_ld, count, s.dim, by_query);
          const Left all{by_key, 1, kPanel, count / 2 * kPanel};
          product(all, by_query, count / 2, block.far, s.dim, result + first, ld, true);
          const Left last{by_key + block.far * count / 2, 1, kPanel, count / 2 * kPanel};
          if (near) product(last, by_query, count / 2, near, s.dim, result + first + block.near * ld, ld, true);
        };
        to_keys(changes, pq, pdk);
        to_keys(probabilities, pg, pdv);
      }
    });
  });
  return ffi::Error::Success();
}

using Floats = ffi::Buffer<ffi::F32>;
using Ints = ffi::Buffer<ffi::S32>;
XLA_FFI_DEFINE_HANDLER_SYMBOL(multiply, Multiply,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Ret<Floats>()
                                  .Attr<bool>("transpose_x").Attr<bool>("transpose_w"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend, Attend,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Ints>().Arg<Ints>().Ret<Floats>().Ret<Floats>().Attr<float>("scale"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend_backward, AttendBackward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Ints>().Arg<Ints>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Ret<Floats>().Ret<Floats>().Ret<Floats>().Attr<float>("scale"));
