// Attention over the key/value cache.
//
// Writes the new keys and values into the cache, in place, and attends to exactly what each query may see: the cost
// follows the length of the sequence, not of the slot, and nothing beyond its end is ever read.

#pragma once

#include <cmath>
#include <cstring>
#include <vector>

#include "lanes.h"

struct Shape {
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
template <int Q, int D, typename T>
static inline void mix(const float* weights, int64_t stride, int64_t count, const T* values, int64_t dim,
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

template <int Q, typename T>  // Q queries that see keys [from, to) of one head: softmax(q k) v
static void attend_queries(const float* const* q, const T* k, const T* v, int64_t from, const int64_t* to,
                           const Shape& h, std::vector<float>& scratch, float* const* out) {
  int64_t end = from;
  for (int i = 0; i < Q; ++i) end = std::max(end, to[i]);
  const int64_t count = end - from, padded = (count + kLanes - 1) / kLanes * kLanes;
  if (static_cast<int64_t>(scratch.size()) < padded * Q) scratch.resize(padded * Q);
  for (int64_t s = 0; s < padded; s += kLanes) {
    Lanes dots[Q][kLanes];
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const T* key = k + (from + std::min(s + lane, count - 1)) * h.dim;
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

// What a step brings: R rows of T new tokens, [R, T, heads, dim], of which row r appends counts[r] to its slot.
struct Step {
  int64_t rows, size, heads, kv_heads;
  const float *q, *k, *v;
  const int32_t *slots, *starts, *counts;
  float* out;
};

template <typename T>  // T: of the cache, float32 or bfloat16
static void attend_rows(ffi::ThreadPool& pool, const Step& s, const Shape& h, T* cache_k, T* cache_v, int64_t window) {
  const int64_t dim = h.dim, group = s.heads / s.kv_heads;
  int64_t work = 0;
  for (int64_t r = 0; r < s.rows; ++r) work += int64_t{s.counts[r]} * (s.starts[r] + s.counts[r]) * group * dim;
  const int64_t chunk = work * s.kv_heads < 256 * 1024 ? s.rows * s.kv_heads : 1;
  promptly(pool, s.rows * s.kv_heads, chunk, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> scratch;
    for (int64_t item = begin; item < end; ++item) {
      const int64_t r = item / s.kv_heads, kv = item % s.kv_heads, used = s.counts[r], start = s.starts[r];
      T* keys = cache_k + (s.slots[r] * s.kv_heads + kv) * h.length * dim;
      T* values = cache_v + (s.slots[r] * s.kv_heads + kv) * h.length * dim;
      for (int64_t t = 0; t < used; ++t) {
        const int64_t from = ((r * s.size + t) * s.kv_heads + kv) * dim;
        copy(s.k + from, dim, keys + (start + t) * dim);
        copy(s.v + from, dim, values + (start + t) * dim);
      }
      for (int64_t t = used; t < s.size; ++t)  // padding: finite, and ignored
        std::memset(s.out + ((r * s.size + t) * s.heads + kv * group) * dim, 0, group * dim * sizeof(float));
      const float* query[4];
      float* result[4];
      int64_t to[4];
      int batched = 0;
      for (int64_t i = 0; i < used * group; ++i) {
        const int64_t t = i / group, at = ((r * s.size + t) * s.heads + kv * group + i % group) * dim;
        const int64_t see = start + t + 1;
        query[batched] = s.q + at, result[batched] = s.out + at, to[batched] = see;
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
}

static ffi::Error Attend(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> q, ffi::Buffer<ffi::F32> k,
                         ffi::Buffer<ffi::F32> v, ffi::AnyBuffer cache_k, ffi::AnyBuffer cache_v,
                         ffi::Buffer<ffi::S32> slots, ffi::Buffer<ffi::S32> starts, ffi::Buffer<ffi::S32> counts,
                         ffi::ResultBuffer<ffi::F32> out, ffi::Result<ffi::AnyBuffer> new_k,
                         ffi::Result<ffi::AnyBuffer> new_v, float scale, float softcap, int64_t window) {
  const auto shape = q.dimensions();
  const int64_t rows = shape[0], size = shape[1], heads = shape[2], dim = shape[3], kv_heads = k.dimensions()[2];
  if (dim % kLanes) return ffi::Error::InvalidArgument("head_dim must be a multiple of 16");
  void *keys = new_k->untyped_data(), *values = new_v->untyped_data();
  if (keys != cache_k.untyped_data() || values != cache_v.untyped_data()) {  // only when XLA could not alias
    std::memcpy(keys, cache_k.untyped_data(), cache_k.size_bytes());
    std::memcpy(values, cache_v.untyped_data(), cache_v.size_bytes());
  }
  const Shape h{cache_k.dimensions()[2], dim, scale, softcap};
  const Step step{rows, size, heads, kv_heads, q.typed_data(), k.typed_data(), v.typed_data(), slots.typed_data(),
                  starts.typed_data(), counts.typed_data(), out->typed_data()};
  if (cache_k.element_type() == ffi::BF16)
    attend_rows(pool, step, h, static_cast<uint16_t*>(keys), static_cast<uint16_t*>(values), window);
  else
    attend_rows(pool, step, h, static_cast<float*>(keys), static_cast<float*>(values), window);
  return ffi::Error::Success();
}

// Splits qkv[tokens, (heads + 2 kv_heads) * dim] into heads; queries and keys get their norms, where there are some, and
// are rotated: channel i with channel i + dim / 2.
static ffi::Error Heads(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> qkv, ffi::Buffer<ffi::F32> q_norm,
                        ffi::Buffer<ffi::F32> k_norm, ffi::Buffer<ffi::F32> cos, ffi::Buffer<ffi::F32> sin,
                        ffi::ResultBuffer<ffi::F32> q, ffi::ResultBuffer<ffi::F32> k, ffi::ResultBuffer<ffi::F32> v,
                        float epsilon, float offset) {
  const int64_t tokens = qkv.dimensions()[0], width = qkv.dimensions()[1], dim = q->dimensions()[3], half = dim / 2;
  const int64_t heads = q->dimensions()[2], kv_heads = k->dimensions()[2];
  const bool normed = q_norm.element_count() > 0;
  const float *in = qkv.typed_data(), *norms[2] = {q_norm.typed_data(), k_norm.typed_data()};
  const float *cosines = cos.typed_data(), *sines = sin.typed_data();
  float *queries = q->typed_data(), *keys = k->typed_data(), *values = v->typed_data();
  promptly(pool, tokens, 16 * 1024 / width + 1, [=](int64_t begin, int64_t end) {
    static thread_local std::vector<float> row;
    row.resize(dim);
    for (int64_t t = begin; t < end; ++t) {
      const float *c = cosines + t * half, *s = sines + t * half;
      for (int64_t h = 0; h < heads + kv_heads; ++h) {
        const float* x = in + t * width + h * dim;
        float* to = h < heads ? queries + (t * heads + h) * dim : keys + (t * kv_heads + h - heads) * dim;
        if (normed) {
          normalise(x, dim, norms[h >= heads], epsilon, offset, row.data());
          x = row.data();
        }
        for (int64_t i = 0; i < half; ++i) {
          to[i] = x[i] * c[i] - x[i + half] * s[i];
          to[i + half] = x[i + half] * c[i] + x[i] * s[i];
        }
      }
      copy(in + t * width + (heads + kv_heads) * dim, kv_heads * dim, values + t * kv_heads * dim);
    }
  });
  return ffi::Error::Success();
}
