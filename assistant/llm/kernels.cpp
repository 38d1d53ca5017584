// CPU kernels that XLA calls: linear layers over int8 and bfloat16 weights, and attention over the key/value cache.
//
// Built with -march=native on the machine that runs it, so one source serves AVX-512 (VNNI), AVX2 and plain x86 or Arm:
// `Lanes` is a compiler vector type, and only the int8 inner product has an intrinsic version. Weights are [out, in], so
// every output is an inner product over contiguous memory, which at batch 1 is as fast as memory delivers.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
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

// Rows of a weight matrix per chunk, so that a chunk is worth handing to another thread.
static int64_t rows_per_chunk(int64_t rows, int64_t row_work, int64_t threads) {
  const int64_t worth = std::max<int64_t>(1, (128 * 1024) / std::max<int64_t>(1, row_work));
  const int64_t fair = (rows + threads * 4 - 1) / (threads * 4);
  return (std::min(std::max(worth, fair), rows) + 3) / 4 * 4;
}

// Splits rows [begin, end) times m tokens into blocks whose weights and activations fit the L2 and L1 caches.
template <typename Work>
static void blocks(int64_t begin, int64_t end, int64_t m, Work work) {
  for (int64_t r = begin; r < end; r += 64)
    for (int64_t t = 0; t < m; t += 32) work(r, std::min(end, r + 64), t, std::min(m, t + 32));
}

// ---------------------------------------------------------------------------------------------------- int8 weights
// Weights are stored as uint8 (w + 128) with one scale per output; activations are quantised to int8 in groups of 256
// inputs. The offset is taken out in integers: every group starts from -128 * (sum of the activations of each lane).

constexpr int64_t kGroup = 256, kStep = 64;

struct Activations {
  int64_t tokens, inputs, groups;
  std::vector<int8_t> values;    // [tokens, inputs]
  std::vector<float> scales;     // [tokens, groups]
  std::vector<int32_t> offsets;  // [tokens, groups, 16]
};

static void quantise(const float* x, Activations& a, int64_t t) {
  for (int64_t g = 0; g < a.groups; ++g) {
    const int64_t begin = g * kGroup, end = std::min(begin + kGroup, a.inputs);
    const float* in = x + t * a.inputs;
    float largest = 0;
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(in[i]));
    const float inverse = largest > 0 ? 127.0f / largest : 0.0f;
    a.scales[t * a.groups + g] = largest / 127.0f;
    int8_t* out = a.values.data() + t * a.inputs;
    for (int64_t i = begin; i < end; ++i) out[i] = static_cast<int8_t>(std::nearbyintf(in[i] * inverse));
    int32_t* offset = a.offsets.data() + (t * a.groups + g) * kLanes;
    std::fill(offset, offset + kLanes, 0);
    for (int64_t i = begin; i < end; i += kStep)
      for (int64_t lane = 0; lane < kLanes; ++lane)
        for (int64_t j = 0; j < 4; ++j) offset[lane] -= 128 * out[i + lane * 4 + j];
  }
}

// out[t, r] for R rows of weights and T tokens.
template <int R, int T>
static inline void dot_int8(const uint8_t* w, const float* scale, const Activations& a, int64_t token, float* out,
                            int64_t out_stride) {
  const int64_t k = a.inputs;
  Lanes total[R][T] = {};
  for (int64_t g = 0; g < a.groups; ++g) {
    const int64_t end = std::min((g + 1) * kGroup, k);
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    __m512i dot[R][T];
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r)
        dot[r][t] = _mm512_loadu_si512(a.offsets.data() + ((token + t) * a.groups + g) * kLanes);
    for (int64_t i = g * kGroup; i < end; i += kStep) {
      __m512i row[R];
      for (int r = 0; r < R; ++r) row[r] = _mm512_loadu_si512(w + r * k + i);
      for (int t = 0; t < T; ++t) {
        const __m512i x = _mm512_loadu_si512(a.values.data() + (token + t) * k + i);
        for (int r = 0; r < R; ++r) dot[r][t] = _mm512_dpbusd_epi32(dot[r][t], row[r], x);
      }
    }
    for (int t = 0; t < T; ++t) {
      const Lanes s = broadcast(a.scales[(token + t) * a.groups + g]);
      for (int r = 0; r < R; ++r) total[r][t] += reinterpret_cast<Lanes>(_mm512_cvtepi32_ps(dot[r][t])) * s;
    }
#else
    for (int t = 0; t < T; ++t)
      for (int r = 0; r < R; ++r) {
        const uint8_t* row = w + r * k;
        const int8_t* x = a.values.data() + (token + t) * k;
        int32_t dot = 0;
        for (int64_t i = g * kGroup; i < end; ++i) dot += static_cast<int16_t>(row[i] - 128) * static_cast<int16_t>(x[i]);
        total[r][t][0] += static_cast<float>(dot) * a.scales[(token + t) * a.groups + g];
      }
#endif
  }
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < R; ++r) out[t * out_stride + r] = sum(total[r][t]) * scale[r];
}

static ffi::Error LinearInt8(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::U8> weights,
                             ffi::Buffer<ffi::F32> scales, ffi::ResultBuffer<ffi::F32> y) {
  const int64_t m = x.dimensions()[0], k = x.dimensions()[1], n = weights.dimensions()[0];
  if (k % kStep) return ffi::Error::InvalidArgument("the inputs of an int8 layer must be a multiple of 64");
  static thread_local Activations scratch;
  Activations& a = scratch;
  a.tokens = m, a.inputs = k, a.groups = (k + kGroup - 1) / kGroup;
  a.values.resize(m * k), a.scales.resize(m * a.groups), a.offsets.resize(m * a.groups * kLanes);
  const float* in = x.typed_data();
  parallel(pool, m, 16, [in, &a](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) quantise(in, a, t);
  });
  const uint8_t* w = weights.typed_data();
  const float* scale = scales.typed_data();
  float* out = y->typed_data();
  const int64_t chunk = rows_per_chunk(n, k * (m + 1) / 2, pool.num_threads());
  parallel(pool, n, chunk, [=, &a](int64_t begin, int64_t end) {
    blocks(begin, end, m, [=, &a](int64_t r, int64_t row_end, int64_t block, int64_t last) {
      for (; r + 4 <= row_end; r += 4) {
        int64_t t = block;
        for (; t + 2 <= last; t += 2) dot_int8<4, 2>(w + r * k, scale + r, a, t, out + t * n + r, n);
        if (t < last) dot_int8<4, 1>(w + r * k, scale + r, a, t, out + t * n + r, n);
      }
      for (; r < row_end; ++r)
        for (int64_t t = block; t < last; ++t) dot_int8<1, 1>(w + r * k, scale + r, a, t, out + t * n + r, n);
    });
  });
  return ffi::Error::Success();
}

// ------------------------------------------------------------------------------------------------ bfloat16 weights
// The arithmetic is float32: a bfloat16 is the upper half of a float32, so widening costs a shift.

static inline Lanes load(const uint16_t* p) {
  typedef uint16_t Shorts __attribute__((vector_size(32), aligned(2)));
  const Shorts narrow = *reinterpret_cast<const Shorts*>(p);
  return reinterpret_cast<Lanes>(__builtin_convertvector(narrow, IntLanes) << 16);
}

template <int R, int T, typename W>
static inline void dot_wide(const W* w, const float* x, int64_t k, float* out, int64_t out_stride) {
  Lanes total[R][T] = {};
  for (int64_t i = 0; i < k; i += kLanes) {
    Lanes row[R];
    for (int r = 0; r < R; ++r) row[r] = load(w + r * k + i);
    for (int t = 0; t < T; ++t) {
      const Lanes in = load(x + t * k + i);
      for (int r = 0; r < R; ++r) total[r][t] += row[r] * in;
    }
  }
  for (int t = 0; t < T; ++t)
    for (int r = 0; r < R; ++r) out[t * out_stride + r] = sum(total[r][t]);
}

static ffi::Error LinearBf16(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::BF16> weights,
                             ffi::ResultBuffer<ffi::F32> y) {
  const int64_t m = x.dimensions()[0], k = x.dimensions()[1], n = weights.dimensions()[0];
  if (k % kLanes) return ffi::Error::InvalidArgument("the inputs of a bfloat16 layer must be a multiple of 16");
  const float* in = x.typed_data();
  const uint16_t* w = reinterpret_cast<const uint16_t*>(weights.untyped_data());
  float* out = y->typed_data();
  const int64_t chunk = rows_per_chunk(n, k * (m + 1), pool.num_threads());
  parallel(pool, n, chunk, [=](int64_t begin, int64_t end) {
    blocks(begin, end, m, [=](int64_t r, int64_t row_end, int64_t block, int64_t last) {
      for (; r + 4 <= row_end; r += 4) {
        int64_t t = block;
        for (; t + 4 <= last; t += 4) dot_wide<4, 4>(w + r * k, in + t * k, k, out + t * n + r, n);
        for (; t < last; ++t) dot_wide<4, 1>(w + r * k, in + t * k, k, out + t * n + r, n);
      }
      for (; r < row_end; ++r)
        for (int64_t t = block; t < last; ++t) dot_wide<1, 1>(w + r * k, in + t * k, k, out + t * n + r, n);
    });
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

template <int Q>  // Q queries that see keys [from, to) of one head: softmax(q k) v
static void attend_queries(const float* const* q, const float* k, const float* v, int64_t from, const int64_t* to,
                           const Heads& h, std::vector<float>& scratch, float* const* out) {
  int64_t end = from;
  for (int i = 0; i < Q; ++i) end = std::max(end, to[i]);
  const int64_t count = end - from, padded = (count + kLanes - 1) / kLanes * kLanes;
  if (static_cast<int64_t>(scratch.size()) < padded * Q) scratch.resize(padded * Q);
  for (int64_t s = 0; s < count; ++s) {
    Lanes dot[Q] = {};
    for (int64_t d = 0; d < h.dim; d += kLanes) {
      const Lanes key = load(k + (from + s) * h.dim + d);
      for (int i = 0; i < Q; ++i) dot[i] += key * load(q[i] + d);
    }
    for (int i = 0; i < Q; ++i) scratch[i * padded + s] = sum(dot[i]) * h.scale;
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
  for (int64_t d = 0; d < h.dim; d += kLanes) {
    Lanes mixed[Q] = {};
    for (int64_t s = 0; s < count; ++s) {
      const Lanes value = load(v + (from + s) * h.dim + d);
      for (int i = 0; i < Q; ++i) mixed[i] += value * scratch[i * padded + s];
    }
    for (int i = 0; i < Q; ++i) store(out[i] + d, mixed[i] * inverse[i]);
  }
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
      for (int i = 0; i < batched; ++i)
        attend_queries<1>(query + i, keys, values, 0, to + i, h, scratch, result + i);
    }
  });
  return ffi::Error::Success();
}

XLA_FFI_DEFINE_HANDLER_SYMBOL(linear_int8, LinearInt8,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::U8>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(linear_bf16, LinearBf16,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::BF16>>().Ret<ffi::Buffer<ffi::F32>>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend, Attend,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Attr<float>("scale").Attr<float>("softcap").Attr<int64_t>("window"));
