// The gated feed-forward part of a layer as one operation, forward and backward.

#pragma once

#include "products.h"

// down(silu(gate(x)) * up(x)) in blocks of rows and strips of the inner dimension: what lies between the matrices never
// leaves the cache, and the backward pass computes it again.
struct Gated {
  int64_t rows, hidden, inner;
  static constexpr int64_t kStrip = 128;
  int64_t blocks() const { return (rows + kBlock - 1) / kBlock; }
  int64_t strip(int64_t from) const { return std::min(kStrip, inner - from); }
};

static inline __m512 sigmoid(__m512 x) {
  const __m512 e = exponential2(_mm512_mul_ps(x, _mm512_set1_ps(-1.44269504f)));
  return _mm512_rcp14_ps(_mm512_add_ps(_mm512_set1_ps(1), e));  // to 14 bits: the result is rounded to 8
}

static ffi::Error GatedForward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> gate,
                               ffi::Buffer<ffi::F32> up_, ffi::Buffer<ffi::F32> down, ffi::ResultBuffer<ffi::F32> out) {
  const Gated s{x.dimensions()[0], x.dimensions()[1], gate.dimensions()[1]};
  const Pair* wg = panels(pool, 10, gate.typed_data(), s.hidden, s.inner, false);
  const Pair* wu = panels(pool, 11, up_.typed_data(), s.hidden, s.inner, false);
  const Pair* wd = panels(pool, 12, down.typed_data(), s.inner, s.hidden, false);
  const float* px = x.typed_data();
  float* po = out->typed_data();
  for_each(pool, s.blocks(), [=](int64_t item) {
    const int64_t first = item * kBlock, rows = std::min(kBlock, s.rows - first), pairs = s.hidden / 2;
    Pair* left = scratch<Pair>(0, rows * pairs);
    Pair* middle = scratch<Pair>(1, rows * s.inner / 2);
    float* g = scratch<float>(2, rows * Gated::kStrip);
    float* u = scratch<float>(3, rows * Gated::kStrip);
    to_tiles(px + first * s.hidden, s.hidden, rows, s.hidden, left);
    for (int64_t from = 0; from < s.inner; from += Gated::kStrip) {
      const int64_t strip = s.strip(from);
      product(in_tiles(left, pairs), wg + from * pairs, pairs, rows, strip, g, strip, false);
      product(in_tiles(left, pairs), wu + from * pairs, pairs, rows, strip, u, strip, false);
      for (int64_t i = 0; i < rows * strip; i += 16) {
        const __m512 x = _mm512_load_ps(g + i);
        _mm512_store_ps(g + i, _mm512_mul_ps(_mm512_mul_ps(x, sigmoid(x)), _mm512_load_ps(u + i)));
      }
      for (int64_t i = 0; i < rows; i += 16)  // these columns of the tiles
        to_tiles(g + i * strip, strip, 16, strip, middle + i / 2 * s.inner + from * 8);
    }
    product(in_tiles(middle, s.inner / 2), wd, s.inner / 2, rows, s.hidden, po + first * s.hidden, s.hidden, false);
  });
  return ffi::Error::Success();
}

static ffi::Error GatedBackward(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> gate,
                                ffi::Buffer<ffi::F32> up_, ffi::Buffer<ffi::F32> down, ffi::Buffer<ffi::F32> gradient,
                                ffi::ResultBuffer<ffi::F32> dx, ffi::ResultBuffer<ffi::F32> dgate,
                                ffi::ResultBuffer<ffi::F32> dup, ffi::ResultBuffer<ffi::F32> ddown) {
  const Gated s{x.dimensions()[0], x.dimensions()[1], gate.dimensions()[1]};
  const int64_t size = s.hidden * s.inner, workers = std::min<int64_t>(pool.num_threads(), s.blocks());
  const Pair* wg = panels(pool, 10, gate.typed_data(), s.hidden, s.inner, false);
  const Pair* wu = panels(pool, 11, up_.typed_data(), s.hidden, s.inner, false);
  const Pair* wd = panels(pool, 12, down.typed_data(), s.hidden, s.inner, true);
  const Pair* back_g = panels(pool, 13, gate.typed_data(), s.inner, s.hidden, true);
  const Pair* back_u = panels(pool, 14, up_.typed_data(), s.inner, s.hidden, true);
  float* others = scratch<float>(15, (workers - 1) * 3 * size);  // the sums of the workers but for the first
  const float *px = x.typed_data(), *py = gradient.typed_data();
  float *pdx = dx->typed_data(), *results[3] = {dgate->typed_data(), dup->typed_data(), ddown->typed_data()};
  for_each(pool, workers, [=](int64_t worker) {  // always the same blocks for a worker: the sums are reproducible
    float* sums[3];
    for (int i = 0; i < 3; ++i) sums[i] = worker ? others + ((worker - 1) * 3 + i) * size : results[i];
    const int64_t pairs = s.hidden / 2;
    Pair* left = scratch<Pair>(0, kBlock * pairs);
    Pair* left_t = scratch<Pair>(1, kBlock * pairs);
    Pair* y = scratch<Pair>(2, kBlock * pairs);
    Pair* y_pairs = scratch<Pair>(3, kBlock * pairs);
    float *g = scratch<float>(4, kBlock * Gated::kStrip), *u = scratch<float>(5, kBlock * Gated::kStrip);
    float* h = scratch<float>(6, kBlock * Gated::kStrip);
    Pair* strips = scratch<Pair>(7, kBlock * Gated::kStrip / 2);
    for (int64_t item = worker; item < s.blocks(); item += workers) {
      const int64_t first = item * kBlock, rows = std::min(kBlock, s.rows - first);
      const bool more = item != worker;
      const float *x0 = px + first * s.hidden, *y0 = py + first * s.hidden;
      float* dx0 = pdx + first * s.hidden;
      to_tiles(x0, s.hidden, rows, s.hidden, left);
      to_tiles_transposed(x0, s.hidden, rows, s.hidden, left_t);
      to_tiles(y0, s.hidden, rows, s.hidden, y);
      to_pairs(y0, s.hidden, rows, s.hidden, y_pairs);
      for (int64_t from = 0; from < s.inner; from += Gated::kStrip) {
        const int64_t strip = s.strip(from);
        product(in_tiles(left, pairs), wg + from * pairs, pairs, rows, strip, g, strip, false);
        product(in_tiles(left, pairs), wu + from * pairs, pairs, rows, strip, u, strip, false);
        product(in_tiles(y, pairs), wd + from * pairs, pairs, rows, strip, h, strip, false);
        for (int64_t i = 0; i < rows * strip; i += 16) {
          const __m512 a = _mm512_load_ps(g + i), b = _mm512_load_ps(u + i), d = _mm512_load_ps(h + i);
          const __m512 q = sigmoid(a), silu = _mm512_mul_ps(a, q);  // silu' = q + silu (1 - q)
          const __m512 slope = _mm512_fmadd_ps(silu, _mm512_sub_ps(_mm512_set1_ps(1), q), q);
          _mm512_store_ps(g + i, _mm512_mul_ps(_mm512_mul_ps(d, b), slope));
          _mm512_store_ps(u + i, _mm512_mul_ps(d, silu));
          _mm512_store_ps(h + i, _mm512_mul_ps(silu, b));
        }
        const auto to_weights = [&](const float* d, const Pair* back, float* sum) {
          to_pairs(d, strip, rows, strip, strips);
          product(in_tiles(left_t, rows / 2), strips, rows / 2, s.hidden, strip, sum + from, s.inner, more);
          to_tiles(d, strip, rows, strip, strips);
          for (int64_t col = 0; col < s.hidden; col += kPanel)  // these rows of the panels
            product(in_tiles(strips, strip / 2), back + col * s.inner / 2 + from / 2 * kPanel, strip / 2, rows, kPanel,
                    dx0 + col, s.hidden, from > 0 || sum != sums[0]);
        };
        to_weights(g, back_g, sums[0]);
        to_weights(u, back_u, sums[1]);
        to_tiles_transposed(h, strip, rows, strip, strips);
        product(in_tiles(strips, rows / 2), y_pairs, rows / 2, strip, s.hidden, sums[2] + from * s.hidden, s.hidden,
                more);
      }
    }
  });
  for (int64_t worker = 1; worker < workers; ++worker)
    for (int i = 0; i < 3; ++i)
      for (int64_t j = 0; j < size; ++j) results[i][j] += others[((worker - 1) * 3 + i) * size + j];
  return ffi::Error::Success();
}
