// The attention of packs: rows of utterances behind a shared prompt. See Dao et al., "FlashAttention" (2022), for the
// backward pass that computes the scores again.

#pragma once

#include "products.h"

constexpr int64_t kRows = 64;  // queries that are worked on together

// The shapes of a batch of packs: `prefix` shared tokens, then rows of `length`; `real[b]` tokens of the prefix count.
struct Packs {
  int64_t batch, tokens, heads, kv, dim, prefix, length;
  const int32_t *real, *segments;
  float scale;
  int64_t group() const { return heads / kv; }  // heads that share keys and values
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
  for (int64_t t = 0; t < s.prefix; t += kRows) {
    const int64_t count = std::min(kRows, s.prefix - t);
    work(Block{t, count, up(t + count, kPanel), 0, 0});
  }
  for (int64_t row = s.prefix; row < s.tokens; row += s.length)
    for (int64_t t = 0; t < s.length; t += kRows) {
      const int64_t count = std::min(kRows, s.length - t);
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

// Calls use(row, column of the block's width, exp(scale · q · k)) for 16 keys at a time, and before(column) when a panel
// of 32 keys begins. Rows are the queries of the group's heads, one head after the other.
template <typename Before, typename Use>
static void scores(const Packs& s, int64_t b, const Block& block, const Pair* q, const Pair* keys, Before before,
                   Use use) {
  const __m512 scale = _mm512_set1_ps(s.scale * 1.44269504f);
  const int64_t rows = s.group() * block.count;
  float* products = scratch<float>(15, s.group() * kRows * kPanel);
  for (int64_t col = 0; col < block.width(); col += kPanel) {
    const bool near = col >= block.far;
    const int64_t key = near ? block.near + col - block.far : col;
    const bool all = !near && key + kPanel <= (block.first < s.prefix ? block.first + 1 : s.real[b]);
    product(in_tiles(q, s.dim / 2), keys + col * s.dim / 2, s.dim / 2, rows, kPanel, products, kPanel, false);
    before(col);
    for (int64_t i = 0; i < rows; ++i)
      for (int h = 0; h < 2; ++h) {
        const __m512 x = exponential2(_mm512_mul_ps(_mm512_load_ps(products + i * kPanel + 16 * h), scale));
        const __mmask16 seen = all ? 0xffff : visible(s, b, block.first + i % block.count, key + 16 * h, near);
        use(i, col + 16 * h, _mm512_maskz_mov_ps(seen, x));
      }
  }
}

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
  for_each(pool, s.batch * s.kv, [=](int64_t item) {
    const int64_t b = item / s.kv, kv = item % s.kv, group = s.group(), widest = up(s.prefix, kPanel) + s.length;
    const float *key = pk + (b * s.tokens * s.kv + kv) * s.dim, *value = pv + (b * s.tokens * s.kv + kv) * s.dim;
    const int64_t ld = s.kv * s.dim, out_ld = s.heads * s.dim, all = up(s.prefix, kPanel);
    Pair* keys = scratch<Pair>(0, widest * s.dim / 2);
    Pair* far_values = scratch<Pair>(1, widest * s.dim / 2);  // laid out anew whenever the number of keys changes
    Pair* near_values = scratch<Pair>(2, s.length * s.dim / 2);
    Half* probabilities = scratch<Half>(3, group * kRows * widest);
    Pair* queries = scratch<Pair>(4, group * kRows * s.dim / 2);
    __m512* sum = scratch<__m512>(5, group * kRows);
    to_pairs_transposed(key, ld, s.dim, all, keys);
    int64_t laid = -1;
    for_blocks(s, b, [&](const Block& block) {
      const int64_t width = block.width(), near = block.near_end - block.near;
      if (near) to_pairs(value + block.near * ld, ld, near, s.dim, near_values);
      if (near) near_keys(s, block, key, keys);
      if (laid != block.far) to_pairs(value, ld, block.far, s.dim, far_values), laid = block.far;
      const int64_t at = (b * s.tokens + block.first) * out_ld + kv * group * s.dim, rows = group * block.count;
      for (int64_t h = 0; h < group; ++h)
        to_tiles(pq + at + h * s.dim, out_ld, block.count, s.dim, queries + h * block.count * s.dim / 2);
      std::fill(sum, sum + rows, _mm512_setzero_ps());
      scores(s, b, block, queries, keys, [](int64_t) {}, [&](int64_t i, int64_t col, __m512 x) {
        sum[i] = _mm512_add_ps(sum[i], x);
        store(probabilities + i * width + col, x);
      });
      for (int64_t h = 0; h < group; ++h) {
        const Half* p = probabilities + h * block.count * width;
        float *o = po + at + h * s.dim, *z = pz + (b * s.heads + kv * group + h) * s.tokens + block.first;
        product(in_rows(p, width / 2), far_values, block.far / 2, block.count, s.dim, o, out_ld, false);
        if (near)
          product(in_rows(p + block.far, width / 2), near_values, near / 2, block.count, s.dim, o, out_ld, true);
        for (int64_t i = 0; i < block.count; ++i) {
          z[i] = _mm512_reduce_add_ps(sum[h * block.count + i]);
          const float inverse = 1 / z[i];
          for (int64_t j = 0; j < s.dim; ++j) o[i * out_ld + j] *= inverse;
        }
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
  for_each(pool, s.batch * s.kv, [=](int64_t item) {
    const int64_t b = item / s.kv, kv = item % s.kv, group = s.group(), widest = up(s.prefix, kPanel) + s.length;
    const int64_t first = (b * s.tokens * s.kv + kv) * s.dim, ld = s.kv * s.dim, out_ld = s.heads * s.dim;
    const float *key = pk + first, *value = pv + first;
    Pair* keys = scratch<Pair>(0, widest * s.dim / 2);
    Pair* far_keys = scratch<Pair>(1, widest * s.dim / 2);
    Pair* near_keys_by_token = scratch<Pair>(2, s.length * s.dim / 2);
    Half* probabilities = scratch<Half>(3, group * kRows * widest);
    Pair* queries = scratch<Pair>(4, group * kRows * s.dim / 2);
    Pair* values = scratch<Pair>(5, widest * s.dim / 2);
    Half* changes = scratch<Half>(6, group * kRows * widest);
    Pair* gradients = scratch<Pair>(7, group * kRows * s.dim / 2);
    Pair* by_key = scratch<Pair>(8, group * kRows / 2 * widest);
    Pair* by_query = scratch<Pair>(9, group * kRows / 2 * s.dim);
    to_pairs_transposed(key, ld, s.dim, up(s.prefix, kPanel), keys);
    to_pairs_transposed(value, ld, s.dim, up(s.prefix, kPanel), values);
    float* back = scratch<float>(10, group * kRows * kPanel);  // gradient of the probabilities of a panel
    float *delta = scratch<float>(11, group * kRows), *inverse = scratch<float>(12, group * kRows);
    int64_t laid = -1;
    for_blocks(s, b, [&](const Block& block) {
      const int64_t width = block.width(), near = block.near_end - block.near, count = block.count;
      if (near) {
        near_keys(s, block, key, keys);
        near_keys(s, block, value, values);
        to_pairs(key + block.near * ld, ld, near, s.dim, near_keys_by_token);
      }
      if (laid != block.far) to_pairs(key, ld, block.far, s.dim, far_keys), laid = block.far;
      const int64_t at = (b * s.tokens + block.first) * out_ld + kv * group * s.dim, rows = group * count;
      for (int64_t h = 0; h < group; ++h) {
        const float* z = pz + (b * s.heads + kv * group + h) * s.tokens + block.first;
        for (int64_t i = 0; i < count; ++i) {
          const float *o = po + at + h * s.dim + i * out_ld, *g = pg + at + h * s.dim + i * out_ld;
          float sum = 0;
          for (int64_t j = 0; j < s.dim; ++j) sum += o[j] * g[j];
          delta[h * count + i] = sum;
          inverse[h * count + i] = 1 / z[i];
        }
        to_tiles(pq + at + h * s.dim, out_ld, count, s.dim, queries + h * count * s.dim / 2);
        to_tiles(pg + at + h * s.dim, out_ld, count, s.dim, gradients + h * count * s.dim / 2);
      }
      const auto before = [&](int64_t col) {
        product(in_tiles(gradients, s.dim / 2), values + col * s.dim / 2, s.dim / 2, rows, kPanel, back, kPanel, false);
      };
      scores(s, b, block, queries, keys, before, [&](int64_t i, int64_t col, __m512 x) {
        const __m512 p = _mm512_mul_ps(x, _mm512_set1_ps(inverse[i]));
        const __m512 g = _mm512_load_ps(back + i * kPanel + col % kPanel);
        const __m512 change = _mm512_mul_ps(p, _mm512_sub_ps(g, _mm512_set1_ps(delta[i])));
        store(probabilities + i * width + col, p);
        store(changes + i * width + col, _mm512_mul_ps(change, _mm512_set1_ps(s.scale)));
      });
      for (int64_t h = 0; h < group; ++h) {
        const Half* change = changes + h * count * width;
        float* to = pdq + at + h * s.dim;
        product(in_rows(change, width / 2), far_keys, block.far / 2, count, s.dim, to, out_ld, false);
        if (near)
          product(in_rows(change + block.far, width / 2), near_keys_by_token, near / 2, count, s.dim, to, out_ld, true);
      }
      const auto to_keys = [&](const Half* weights, const float* other, float* result) {  // sums over queries
        to_tiles_transposed(weights, width, rows, width, by_key);
        for (int64_t h = 0; h < group; ++h)
          to_pairs(other + at + h * s.dim, out_ld, count, s.dim, by_query + h * count / 2 * kPanel, rows / 2);
        product(in_tiles(by_key, rows / 2), by_query, rows / 2, block.far, s.dim, result + first, ld, true);
        const Left last = in_tiles(by_key + block.far * rows / 2, rows / 2);
        if (near) product(last, by_query, rows / 2, near, s.dim, result + first + block.near * ld, ld, true);
      };
      to_keys(changes, pq, pdk);
      to_keys(probabilities, pg, pdv);
    });
  });
  return ffi::Error::Success();
}
