// Linear layers over packed weights in float32, bfloat16 or int8.

#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>
#include <vector>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "lanes.h"
#include "tiles.h"

// Weights are packed in panels of 64 outputs. Within a panel the inputs come in steps of one 32-bit word per output:
// four int8, two bfloat16 or one float32. So a register holds a step of 16 outputs, no sum is taken across a register,
// memory is read in one stream, and a block of 64 steps (16 kB) stays in the L1 cache while all tokens use it. Every
// output is summed in the same order however many tokens there are: a batch never changes what a sequence gets.

constexpr int64_t kPanel = 64, kBlock = 64, kGroup = 64;
#if defined(__AVX512F__)
constexpr int kTokens = 6;  // tokens at once: 24 accumulators, and room for the operands
#else
constexpr int kTokens = 1;
#endif

// What the kernel reads: tokens `stride` numbers apart, and for int8 a scale and an offset per token and block.
template <class Kind>
struct Inputs {
  int64_t tokens, steps, blocks, stride;
  typename Kind::Input* values;
  float* scales;
  int32_t* offsets;
};

struct Float32 {
  using Sum = Lanes;
  using Input = float;
  static constexpr int kInputs = 1, kWords = 1;  // inputs of a step, and words of prepared x that hold them
  static constexpr int64_t kLeast = INT64_MAX;   // tokens from which tiles are used: never
  static void prepare(const float* x, int64_t k, float* values, float*, int32_t*) { copy(x, k, values); }
  static Sum add(Sum sum, IntLanes w, const float* x) { return sum + reinterpret_cast<Lanes>(w) * x[0]; }
};

#if defined(__AVX512BF16__)
struct BFloat16 {  // exact products of bfloat16 numbers, summed in float32
  using Sum = Lanes;
  using Input = int32_t;
  static constexpr int kInputs = 2, kWords = 1;
  static constexpr int64_t kLeast = 1;  // always, as tiles sum in another order
  static Sum add(Sum sum, IntLanes w, const int32_t* x) {
    return reinterpret_cast<Sum>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(w),
                                                  reinterpret_cast<__m512bh>(_mm512_set1_epi32(*x))));
  }
  static void prepare(const float* x, int64_t k, int32_t* values, float*, int32_t*) {
    copy(x, k, reinterpret_cast<uint16_t*>(values));
  }
};
#else
struct BFloat16 {  // widened, which costs a shift: a bfloat16 is the upper half of a float32
  using Sum = Lanes;
  using Input = float;
  static constexpr int kInputs = 2, kWords = 2;
  static constexpr int64_t kLeast = INT64_MAX;
  static void prepare(const float* x, int64_t k, float* values, float*, int32_t*) { copy(x, k, values); }
  static Sum add(Sum sum, IntLanes w, const float* x) {
    const Lanes first = reinterpret_cast<Lanes>(w << 16), second = reinterpret_cast<Lanes>(w & int32_t(0xFFFF0000));
    return sum + first * x[0] + second * x[1];
  }
};
#endif

// Weights are uint8 (w + 128) with one scale per output; x is quantised to int8 with one scale per block. The offset is
// taken out in integers: every block starts from -128 times the sum of its inputs.
struct Int8 {
  using Sum = IntLanes;
  using Input = int32_t;
  static constexpr int kInputs = 4, kWords = 1;
  static constexpr int64_t kLeast = 5;  // below, nothing is gained
  static Sum add(Sum sum, IntLanes w, const int32_t* x) {
#if defined(__AVX512VNNI__)
    return reinterpret_cast<Sum>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(w),
                                                     _mm512_set1_epi32(*x)));
#elif defined(__AVX2__)
    const __m256i low = _mm256_set1_epi16(255), both = _mm256_set1_epi32(*x);  // vpmaddubsw would saturate
    const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(both, 8), 8), odd = _mm256_srai_epi16(both, 8);
    __m256i* out = reinterpret_cast<__m256i*>(&sum);
    const __m256i* in = reinterpret_cast<const __m256i*>(&w);
    for (int i = 0; i < 2; ++i) {
      const __m256i first = _mm256_madd_epi16(_mm256_and_si256(in[i], low), even);
      const __m256i second = _mm256_madd_epi16(_mm256_srli_epi16(in[i], 8), odd);
      out[i] = _mm256_add_epi32(out[i], _mm256_add_epi32(first, second));
    }
    return sum;
#else
    const int8_t* byte = reinterpret_cast<const int8_t*>(x);
    for (int i = 0; i < 4; ++i) sum += ((w >> (8 * i)) & 255) * int32_t{byte[i]};
    return sum;
#endif
  }
  static void prepare(const float* x, int64_t k, int32_t* values, float* scales, int32_t* offsets) {
    const int32_t* bits = reinterpret_cast<const int32_t*>(x);
    int8_t* out = reinterpret_cast<int8_t*>(values);
    for (int64_t begin = 0; begin < k; begin += kBlock * kInputs) {
      const int64_t end = std::min(begin + kBlock * kInputs, k);
      int32_t most = 0;  // without their signs, floats are ordered like their bits; NaN is the largest, and stays
      for (int64_t i = begin; i < end; ++i) most = std::max(most, bits[i] & 0x7FFFFFFF);
      float largest;
      std::memcpy(&largest, &most, sizeof largest);
      const float inverse = most ? 127.0f / largest : 0.0f;
      int32_t total = 0;
      for (int64_t i = begin; i < end; ++i) {
        const int32_t value = static_cast<int32_t>(std::nearbyintf(x[i] * inverse));
        out[i] = static_cast<int8_t>(value);
        total += value;
      }
      *scales++ = largest / 127.0f, *offsets++ = -128 * total;
    }
  }
};

// totals[T, 64] += the products of T tokens with one block of a panel.
template <class Kind, int T>
static void multiply_block(const int32_t* w, const Inputs<Kind>& x, int64_t token, int64_t block, float* totals) {
  constexpr bool integers = std::is_same_v<typename Kind::Sum, IntLanes>;
  const int64_t first = block * kBlock, steps = std::min(kBlock, x.steps - first), stride = x.stride;
  const typename Kind::Input* in = x.values + token * stride + first * Kind::kWords;
  typename Kind::Sum sums[T][4];
  for (int t = 0; t < T; ++t)
    for (int j = 0; j < 4; ++j)
      if constexpr (integers)
        sums[t][j] = x.offsets[(token + t) * x.blocks + block] - IntLanes{};
      else
        sums[t][j] = load(totals + t * kPanel + j * kLanes);
  for (int64_t s = 0; s < steps; ++s, w += kPanel, in += Kind::kWords) {
    IntLanes row[4];
    for (int j = 0; j < 4; ++j) row[j] = *reinterpret_cast<const IntLanes*>(w + j * kLanes);
    for (int t = 0; t < T; ++t)
      for (int j = 0; j < 4; ++j) sums[t][j] = Kind::add(sums[t][j], row[j], in + t * stride);
  }
  for (int t = 0; t < T; ++t)
    for (int j = 0; j < 4; ++j) {
      float* total = totals + t * kPanel + j * kLanes;
      if constexpr (integers)
        store(total, load(total) + __builtin_convertvector(sums[t][j], Lanes) * x.scales[(token + t) * x.blocks + block]);
      else
        store(total, sums[t][j]);
    }
}

template <class Kind, int T = kTokens>
static void multiply_tokens(int64_t count, const int32_t* w, const Inputs<Kind>& x, int64_t token, int64_t block,
                            float* totals) {
  if constexpr (T > 1)
    if (count < T) return multiply_tokens<Kind, T - 1>(count, w, x, token, block, totals);
  multiply_block<Kind, T>(w, x, token, block, totals);
}

// totals[tokens, 64] = x times one panel.
template <class Kind>
static void multiply_panel(const int32_t* w, const Inputs<Kind>& x, float* totals) {
  std::fill_n(totals, x.tokens * kPanel, 0.0f);
  const int64_t tiles = (x.tokens + kTokens - 1) / kTokens;
  for (int64_t block = 0; block < x.blocks; ++block)
    for (int64_t tile = 0, t = 0; tile < tiles; ++tile) {
      const int64_t count = (x.tokens - t + tiles - tile - 1) / (tiles - tile);  // tiles of nearly the same size
      multiply_tokens(count, w + block * kBlock * kPanel, x, t, block, totals + t * kPanel);
      t += count;
    }
}

// The same on AMX: groups of tokens small enough that they, a block of the panel and their totals share a cache.
template <class Kind>
static void multiply_panel_on_tiles(const int32_t* w, const Inputs<Kind>& x, float* totals) {
  constexpr bool integers = std::is_same_v<typename Kind::Sum, IntLanes>;
  constexpr int64_t half = kPanel / 2;
  std::fill_n(totals, up(x.tokens, kTile) * kPanel, 0.0f);
  for (int64_t group = 0; group < x.tokens; group += kGroup)
    for (int64_t block = 0; block < x.blocks; ++block) {
      const int64_t first = block * kBlock, steps = std::min(kBlock, x.steps - first);
      for (int64_t token = group; token < std::min(x.tokens, group + kGroup); token += 2 * kTile)
        for (int64_t from = 0; from < kPanel; from += half) {
          const auto* in = reinterpret_cast<const int32_t*>(x.values) + token * x.stride + first;
          const int32_t* weights = w + first * kPanel + from;
          float* total = totals + token * kPanel + from;
          const bool both = x.tokens - token > kTile;
          if constexpr (integers) {
            alignas(64) int32_t sums[2 * kTile * half];
            multiply_tiles<true>(in, x.stride, both, weights, kPanel, steps, sums, half);
            for (int64_t t = 0, end = std::min(2 * kTile, x.tokens - token); t < end; ++t) {
              const int64_t at = (token + t) * x.blocks + block;
              for (int64_t j = 0; j < half; j += kLanes) {
                const IntLanes exact = *reinterpret_cast<const IntLanes*>(sums + t * half + j) + x.offsets[at];
                float* to = total + t * kPanel + j;
                store(to, load(to) + __builtin_convertvector(exact, Lanes) * x.scales[at]);
              }
            }
          } else {
            multiply_tiles<false>(in, x.stride, both, weights, kPanel, steps, total, kPanel);
          }
        }
    }
}

// What is done to the inputs of a layer first: a norm with `norm[k]`, or act(x[0 .. k)) * x[k .. 2k).
struct Before {
  const float* norm;
  float epsilon, offset;
  int64_t gate;  // 0: none, 1: silu, 2: gelu (the approximation by tanh)
};

static inline Lanes activated(Lanes x, int64_t gate) {  // both are x times a logistic function
  const Lanes z = gate == 1 ? x : 1.59576912f * (x + 0.044715f * x * x * x);
  const Lanes e = exponential(z < 0.0f ? z : -z);
  return x * (z < 0.0f ? e : 1.0f + Lanes{}) / (1.0f + e);
}

// Reads what the layer shall multiply, [m, k], in the numbers of `Kind`; they live until this thread's next layer.
template <class Kind>
static Inputs<Kind> prepare(ffi::ThreadPool& pool, const float* x, int64_t m, int64_t k, const Before& before) {
  static thread_local std::vector<typename Kind::Input> values;
  static thread_local std::vector<int32_t> offsets;
  static thread_local std::vector<float> scales;
  const int64_t steps = k / Kind::kInputs, blocks = (steps + kBlock - 1) / kBlock;
  const int64_t stride = (up(steps, kTile) + kTile) * Kind::kWords;  // tokens must not share lines of the cache
  values.resize(up(m, kTile) * stride), offsets.resize(m * blocks), scales.resize(m * blocks);
  const Inputs<Kind> in{m, steps, blocks, stride, values.data(), scales.data(), offsets.data()};
  promptly(pool, m, std::max<int64_t>(16, m / 8), [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> row;
    row.resize(k);
    for (int64_t t = begin; t < end; ++t) {
      const float* from = x + t * k;
      if (before.gate) {
        from = x + 2 * t * k;
        for (int64_t i = 0; i < k; i += kLanes)
          store(row.data() + i, activated(load(from + i), before.gate) * load(from + k + i));
      } else if (before.norm) {
        normalise(from, k, before.norm, before.epsilon, before.offset, row.data());
      }
      Kind::prepare(before.gate || before.norm ? row.data() : from, k, in.values + t * stride, in.scales + t * blocks,
                    in.offsets + t * blocks);
    }
  });
  return in;
}

// y[m, n] = x[m, k] times the packed weights, times scales[n] and plus residual[m, n] where there are some.
template <class Kind>
static ffi::Error Linear(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::AnyBuffer weights,
                         ffi::Buffer<ffi::F32> scales, ffi::Buffer<ffi::F32> norm, ffi::Buffer<ffi::F32> residual,
                         ffi::ResultBuffer<ffi::F32> y, float epsilon, float offset, int64_t gate) {
  const int64_t m = x.dimensions()[0], k = x.dimensions()[1] / (gate ? 2 : 1), n = y->dimensions()[1];
  if (k % Kind::kInputs) return ffi::Error::InvalidArgument("the inputs of a layer do not fill whole steps");
  if (gate && k % kLanes) return ffi::Error::InvalidArgument("gated inputs must be a multiple of 16");
  const auto given = [](const auto& buffer) { return buffer.element_count() ? buffer.typed_data() : nullptr; };
  const float *scale = given(scales), *add = given(residual);
  const Inputs<Kind> inputs = prepare<Kind>(pool, x.typed_data(), m, k, {given(norm), epsilon, offset, gate});
  const bool tiles = m >= Kind::kLeast && inputs.steps % kTile == 0 && tiles_granted();
  const auto multiply = tiles ? multiply_panel_on_tiles<Kind> : multiply_panel<Kind>;
  const int32_t* w = static_cast<const int32_t*>(weights.untyped_data());
  float* out = y->typed_data();
  const int64_t panels = (n + kPanel - 1) / kPanel, size = inputs.steps * kPanel;
  const int64_t worth = 16 * 1024 / (size * (m + 1) / 2) + 1, fair = panels / (pool.num_threads() * 4) + 1;
  promptly(pool, panels, std::max(worth, fair), [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> totals;
    if (static_cast<int64_t>(totals.size()) < up(m, kTile) * kPanel) totals.resize(up(m, kTile) * kPanel);
    const Tiles guard(tiles ? std::min(m, kTile) : 0);
    for (int64_t p = begin; p < end; ++p) {
      multiply(w + p * size, inputs, totals.data());
      const int64_t first = p * kPanel, used = std::min(kPanel, n - first);
      for (int64_t t = 0; t < m; ++t) {
        float *total = totals.data() + t * kPanel, *to = out + t * n + first;
        if (scale)
          for (int64_t r = 0; r < used; ++r) total[r] *= scale[first + r];
        for (int64_t r = 0; r < used; ++r) to[r] = add ? total[r] + add[t * n + first + r] : total[r];
      }
    }
  });
  return ffi::Error::Success();
}
