// CPU kernels that XLA calls: linear layers over packed weights, and attention over the key/value cache.
//
// Built with -march=native on the machine that runs it, so one source serves AVX-512 (VNNI, BF16), AVX2 and plain x86 or
// Arm: `Lanes` is a compiler vector type, and only the products of narrow weights have versions with intrinsics.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using std::int64_t;

typedef float Lanes __attribute__((vector_size(64), aligned(4)));
typedef int32_t IntLanes __attribute__((vector_size(64), aligned(4)));
constexpr int64_t kLanes = 16;

static inline Lanes load(const float* p) { return *reinterpret_cast<const Lanes*>(p); }
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

// Runs work(begin, end) over [0, items) in chunks. Chunks are claimed, not assigned: a helper that starts late finds
// nothing left, so waiting for it can never deadlock the pool that runs us.
template <typename Work>
static void parallel(ffi::ThreadPool& pool, int64_t items, int64_t chunk, Work work) {
  const int64_t chunks = (items + chunk - 1) / chunk;
  const int64_t helpers = std::min<int64_t>(pool.num_threads(), chunks) - 1;
  if (helpers <= 0) return work(0, items);
  struct Shared {
    std::atomic<int64_t> next{0}, done{0};
  };
  auto shared = std::make_shared<Shared>();
  auto run = [shared, chunks, chunk, items, work] {
    for (int64_t i; (i = shared->next.fetch_add(1)) < chunks; shared->done.fetch_add(1, std::memory_order_release))
      work(i * chunk, std::min(items, (i + 1) * chunk));
  };
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(decltype(run)(run));
  run();
  for (int spins = 0; shared->done.load(std::memory_order_acquire) < chunks; ++spins)
    if (spins > 1000) std::this_thread::yield();
}

// --------------------------------------------------------------------------------------------------- linear layers
// Weights are packed in panels of 64 outputs. Within a panel the inputs come in steps of one 32-bit word per output:
// four int8, two bfloat16 or one float32. So a register holds a step of 16 outputs, no sum is taken across a register,
// memory is read in one stream, and a block of 64 steps (16 kB) stays in the L1 cache while all tokens use it. Every
// output is summed in the same order however many tokens there are: a batch never changes what a sequence gets.

constexpr int64_t kPanel = 64, kBlock = 64;
#if defined(__AVX512F__)
constexpr int kTile = 6;  // tokens at once: 24 accumulators, and room for the operands
#else
constexpr int kTile = 1;
#endif

// What the kernel reads: x as [tokens, steps * kWords], and for int8 a scale and an offset per token and block.
template <class Kind>
struct Inputs {
  int64_t tokens, steps, blocks;
  typename Kind::Input* values;
  float* scales;
  int32_t* offsets;
};

struct Float32 {
  using Sum = Lanes;
  using Input = float;
  static constexpr int kInputs = 1, kWords = 1;  // inputs of a step, and words of prepared x that hold them
  static constexpr bool kPrepared = false;       // x is read as it is
  static Sum add(Sum sum, IntLanes w, const float* x) { return sum + reinterpret_cast<Lanes>(w) * x[0]; }
};

#if defined(__AVX512BF16__)
struct BFloat16 {  // exact products of bfloat16 numbers, summed in float32
  using Sum = Lanes;
  using Input = int32_t;
  static constexpr int kInputs = 2, kWords = 1;
  static constexpr bool kPrepared = true;
  static Sum add(Sum sum, IntLanes w, const int32_t* x) {
    return reinterpret_cast<Sum>(_mm512_dpbf16_ps(reinterpret_cast<__m512>(sum), reinterpret_cast<__m512bh>(w),
                                                  reinterpret_cast<__m512bh>(_mm512_set1_epi32(*x))));
  }
  static void prepare(const float* x, int64_t k, int32_t* values, float*, int32_t*) {  // rounds to nearest even
    const uint32_t* bits = reinterpret_cast<const uint32_t*>(x);
    uint16_t* out = reinterpret_cast<uint16_t*>(values);
    for (int64_t i = 0; i < k; ++i) out[i] = static_cast<uint16_t>((bits[i] + 0x7FFF + (bits[i] >> 16 & 1)) >> 16);
  }
};
#else
struct BFloat16 {  // widened, which costs a shift: a bfloat16 is the upper half of a float32
  using Sum = Lanes;
  using Input = float;
  static constexpr int kInputs = 2, kWords = 2;
  static constexpr bool kPrepared = false;
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
  static constexpr bool kPrepared = true;
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
  const int64_t first = block * kBlock, steps = std::min(kBlock, x.steps - first), stride = x.steps * Kind::kWords;
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

template <class Kind, int T = kTile>
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
  const int64_t tiles = (x.tokens + kTile - 1) / kTile;
  for (int64_t block = 0; block < x.blocks; ++block)
    for (int64_t tile = 0, t = 0; tile < tiles; ++tile) {
      const int64_t count = (x.tokens - t + tiles - tile - 1) / (tiles - tile);  // tiles of nearly the same size
      multiply_tokens(count, w + block * kBlock * kPanel, x, t, block, totals + t * kPanel);
      t += count;
    }
}

// y[m, n] = x[m, k] times the packed weights, times scales[n] where there are some.
template <class Kind>
static ffi::Error Linear(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::AnyBuffer weights,
                         ffi::Buffer<ffi::F32> scales, ffi::ResultBuffer<ffi::F32> y) {
  const int64_t m = x.dimensions()[0], k = x.dimensions()[1], n = y->dimensions()[1], steps = k / Kind::kInputs;
  if (k % Kind::kInputs) return ffi::Error::InvalidArgument("the inputs of a layer do not fill whole steps");
  static thread_local std::vector<typename Kind::Input> values;
  static thread_local std::vector<int32_t> offsets;
  static thread_local std::vector<float> factors;
  Inputs<Kind> inputs{m, steps, (steps + kBlock - 1) / kBlock, nullptr, nullptr, nullptr};
  const float* in = x.typed_data();
  if constexpr (Kind::kPrepared) {
    values.resize(m * steps * Kind::kWords), offsets.resize(m * inputs.blocks), factors.resize(m * inputs.blocks);
    inputs.values = values.data(), inputs.scales = factors.data(), inputs.offsets = offsets.data();
    parallel(pool, m, std::max<int64_t>(16, m / 8), [=](int64_t begin, int64_t end) {
      for (int64_t t = begin; t < end; ++t)
        Kind::prepare(in + t * k, k, inputs.values + t * steps * Kind::kWords, inputs.scales + t * inputs.blocks,
                      inputs.offsets + t * inputs.blocks);
    });
  } else {
    inputs.values = const_cast<float*>(in);
  }
  const int32_t* w = static_cast<const int32_t*>(weights.untyped_data());
  const float* scale = scales.element_count() ? scales.typed_data() : nullptr;
  float* out = y->typed_data();
  const int64_t panels = (n + kPanel - 1) / kPanel, size = steps * kPanel;
  const int64_t worth = 256 * 1024 / (size * (m + 1) / 2) + 1, fair = panels / (pool.num_threads() * 4) + 1;
  parallel(pool, panels, std::max(worth, fair), [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> totals;
    if (static_cast<int64_t>(totals.size()) < m * kPanel) totals.resize(m * kPanel);
    for (int64_t p = begin; p < end; ++p) {
      multiply_panel(w + p * size, inputs, totals.data());
      const int64_t used = std::min(kPanel, n - p * kPanel);
      for (int64_t t = 0; t < m; ++t)
        for (int64_t r = 0; r < used; ++r) {
          const float total = totals[t * kPanel + r];
          out[t * n + p * kPanel + r] = scale ? total * scale[p * kPanel + r] : total;
        }
    }
  });
  return ffi::Error::Success();
}

// ------------------------------------------------------------------------------------------------------- attention
// Writes the new keys and values into the cache, in place, and attends to exactly what each query may see: the cost
// follows the length of the sequence, not of the slot, and nothing beyond its end is ever read.

static inline Lanes exponential(Lanes x) {  // e^x for x <= 0, relative error below 2e-7
  x = x * 1.44269504089f;
  x = x < -126.0f ? broadcast(-126.0f) : x;
  const IntLanes whole = __builtin_convertvector(x - 0.5f, IntLanes);
  const Lanes f = (x - __builtin_convertvector(whole, Lanes)) * 0.69314718056f;
  const Lanes p = 1.0f + f * (1.0f + f * (0.5f + f * (1.0f / 6 + f * (1.0f / 24 + f * (1.0f / 120 + f * (1.0f / 720))))));
  return reinterpret_cast<Lanes>(reinterpret_cast<IntLanes>(p) + (whole << 23));
}

struct Heads {
  int64_t length, dim;  // of the cache
  float scale, softcap;
};

// Lane i of the result is the sum over all lanes of x[i]: halves are folded together until one register is left.
template <int Half = kLanes / 2>
static inline Lanes sums(Lanes* x) {
  IntLanes low, high;  // the lanes of two registers that hold first and second halves
  for (int i = 0; i < kLanes; ++i) {
    low[i] = i % Half + i / Half % 2 * kLanes + i / (2 * Half) * 2 * Half;
    high[i] = low[i] + Half;
  }
  for (int i = 0; i < Half; ++i)
    x[i] = __builtin_shuffle(x[i], x[i + Half], low) + __builtin_shuffle(x[i], x[i + Half], high);
  if constexpr (Half > 1)
    return sums<Half / 2>(x);
  else
    return x[0];
}

// out[Q][d ...] = weights[Q, count] times values[count, D * 16], with so many accumulators that none is waited for.
template <int Q, int D>
static inline void mix(const float* weights, int64_t stride, int64_t count, const float* values, int64_t dim,
                       const float* inverse, float* const* out, int64_t d) {
  Lanes mixed[Q][D] = {};
  for (int64_t s = 0; s < count; ++s)
    for (int j = 0; j < D; ++j) {
      const Lanes value = load(values + s * dim + j * kLanes);
      for (int i = 0; i < Q; ++i) mixed[i][j] += value * weights[i * stride + s];
    }
  for (int i = 0; i < Q; ++i)
    for (int j = 0; j < D; ++j) store(out[i] + d + j * kLanes, mixed[i][j] * inverse[i]);
}

template <int Q>  // Q queries that see keys [from, to) of one head: softmax(q k) v
static void attend_queries(const float* const* q, const float* k, const float* v, int64_t from, const int64_t* to,
                           const Heads& h, std::vector<float>& scratch, float* const* out) {
  int64_t end = from;
  for (int i = 0; i < Q; ++i) end = std::max(end, to[i]);
  const int64_t count = end - from, padded = (count + kLanes - 1) / kLanes * kLanes;
  if (static_cast<int64_t>(scratch.size()) < padded * Q) scratch.resize(padded * Q);
  for (int64_t s = 0; s < padded; s += kLanes) {
    Lanes dots[Q][kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const float* key = k + (from + std::min(s + lane, count - 1)) * h.dim;
      Lanes dot[Q] = {};
      for (int64_t d = 0; d < h.dim; d += kLanes)
        for (int i = 0; i < Q; ++i) dot[i] += load(key + d) * load(q[i] + d);
      for (int i = 0; i < Q; ++i) dots[i][lane] = dot[i];
    }
    for (int i = 0; i < Q; ++i) store(scratch.data() + i * padded + s, sums(dots[i]) * h.scale);
  }
  float inverse[Q];
  for (int i = 0; i < Q; ++i) {
    float* p = scratch.data() + i * padded;
    if (h.softcap > 0)
      for (int64_t s = 0; s < count; ++s) p[s] = std::tanh(p[s] / h.softcap) * h.softcap;
    for (int64_t s = to[i] - from; s < padded; ++s) p[s] = -INFINITY;
    Lanes most = load(p), total = {};
    for (int64_t s = kLanes; s < padded; s += kLanes) most = load(p + s) > most ? load(p + s) : most;
    float largest = most[0];
    for (int lane = 1; lane < kLanes; ++lane) largest = std::max(largest, most[lane]);
    for (int64_t s = 0; s < padded; s += kLanes) {
      Lanes e = load(p + s) - largest;
      e = e < -87.0f ? Lanes{} : exponential(e);
      store(p + s, e);
      total += e;
    }
    inverse[i] = 1.0f / sum(total);
  }
  int64_t d = 0;
  v += from * h.dim;
  for (; d + 4 * kLanes <= h.dim; d += 4 * kLanes)
    mix<Q, 4>(scratch.data(), padded, count, v + d, h.dim, inverse, out, d);
  for (; d < h.dim; d += kLanes) mix<Q, 1>(scratch.data(), padded, count, v + d, h.dim, inverse, out, d);
}

static ffi::Error Attend(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> q, ffi::Buffer<ffi::F32> k,
                         ffi::Buffer<ffi::F32> v, ffi::Buffer<ffi::F32> cache_k, ffi::Buffer<ffi::F32> cache_v,
                         ffi::Buffer<ffi::S32> slots, ffi::Buffer<ffi::S32> starts, ffi::Buffer<ffi::S32> counts,
                         ffi::ResultBuffer<ffi::F32> out, ffi::ResultBuffer<ffi::F32> new_k,
                         ffi::ResultBuffer<ffi::F32> new_v, float scale, float softcap, int64_t window) {
  const auto shape = q.dimensions();
  const int64_t rows = shape[0], size = shape[1], heads = shape[2], dim = shape[3];
  const int64_t kv_heads = k.dimensions()[2], group = heads / kv_heads, length = cache_k.dimensions()[2];
  if (dim % kLanes) return ffi::Error::InvalidArgument("head_dim must be a multiple of 16");
  if (new_k->typed_data() != cache_k.typed_data() || new_v->typed_data() != cache_v.typed_data()) {
    std::memcpy(new_k->typed_data(), cache_k.typed_data(), cache_k.size_bytes());  // only when XLA could not alias
    std::memcpy(new_v->typed_data(), cache_v.typed_data(), cache_v.size_bytes());
  }
  const Heads h{length, dim, scale, softcap};
  const float *pq = q.typed_data(), *pk = k.typed_data(), *pv = v.typed_data();
  const int32_t *slot = slots.typed_data(), *start = starts.typed_data(), *count = counts.typed_data();
  float *po = out->typed_data(), *ck = new_k->typed_data(), *cv = new_v->typed_data();
  int64_t work = 0;
  for (int64_t r = 0; r < rows; ++r) work += int64_t{count[r]} * (start[r] + count[r]) * group * dim;
  const int64_t chunk = work * kv_heads < 256 * 1024 ? rows * kv_heads : 1;
  parallel(pool, rows * kv_heads, chunk, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> scratch;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t r = item / kv_heads, kv = item % kv_heads, used = count[r];
      float* keys = ck + (slot[r] * kv_heads + kv) * length * dim;
      float* values = cv + (slot[r] * kv_heads + kv) * length * dim;
      for (int64_t t = 0; t < used; ++t) {
        const int64_t from = ((r * size + t) * kv_heads + kv) * dim;
        std::memcpy(keys + (start[r] + t) * dim, pk + from, dim * sizeof(float));
        std::memcpy(values + (start[r] + t) * dim, pv + from, dim * sizeof(float));
      }
      for (int64_t t = used; t < size; ++t)  // padding: finite, and ignored
        std::memset(po + ((r * size + t) * heads + kv * group) * dim, 0, group * dim * sizeof(float));
      const float* query[4];
      float* result[4];
      int64_t to[4];
      int batched = 0;
      for (int64_t i = 0; i < used * group; ++i) {
        const int64_t t = i / group, at = ((r * size + t) * heads + kv * group + i % group) * dim;
        const int64_t see = start[r] + t + 1;
        query[batched] = pq + at, result[batched] = po + at, to[batched] = see;
        ++batched;
        if (window > 0) {  // queries of different positions begin at different keys: one at a time
          attend_queries<1>(query, keys, values, std::max<int64_t>(0, see - window), to, h, scratch, result);
          batched = 0;
        } else if (batched == 4) {
          attend_queries<4>(query, keys, values, 0, to, h, scratch, result);
          batched = 0;
        }
      }
      if (batched & 2) attend_queries<2>(query, keys, values, 0, to, h, scratch, result);
      if (const int last = batched & 2; batched & 1)
        attend_queries<1>(query + last, keys, values, 0, to + last, h, scratch, result + last);
    }
  });
  return ffi::Error::Success();
}

#define LINEAR(name, Kind)                                                                              \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, Linear<Kind>,                                                     \
                                ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()    \
                                    .Arg<ffi::AnyBuffer>().Arg<ffi::Buffer<ffi::F32>>()                 \
                                    .Ret<ffi::Buffer<ffi::F32>>())
LINEAR(linear_float32, Float32);
LINEAR(linear_bfloat16, BFloat16);
LINEAR(linear_int8, Int8);
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend, Attend,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<float>("scale").Attr<float>("softcap").Attr<int64_t>("window"));
