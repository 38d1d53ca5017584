// Training on a CPU with AVX-512 BF16 or AMX: what XLA calls.
//
// XLA's float32 product reaches half of what AVX-512 BF16 can do twice over, and a tenth of AMX; its attention and its
// feed-forward part write every intermediate value to memory, where a core waits for it longer than computing it takes.

#include "attention.h"
#include "gated.h"
#include "products.h"

// out[M, N] = op(x) · op(w), where op transposes if asked to.
static ffi::Error Multiply(ffi::ThreadPool pool, ffi::Buffer<ffi::F32> x, ffi::Buffer<ffi::F32> w,
                           ffi::ResultBuffer<ffi::F32> out, bool transpose_x, bool transpose_w) {
  const int64_t m = out->dimensions()[0], n = out->dimensions()[1], k = x.dimensions()[transpose_x ? 0 : 1];
  const float *px = x.typed_data(), *pw = w.typed_data();
  float* to = out->typed_data();
  const Pair* right = panels(pool, 0, pw, k, n, transpose_w);
  for_each(pool, (m + kBlock - 1) / kBlock, [=](int64_t item) {
    const int64_t from = item * kBlock, rows = std::min(kBlock, m - from);
    Pair* left = scratch<Pair>(1, rows * k / 2);
    if (transpose_x) to_tiles_transposed(px + from, m, k, rows, left);
    else to_tiles(px + from * k, k, rows, k, left);
    product(in_tiles(left, k / 2), right, k / 2, rows, n, to + from * n, n, false);
  });
  return ffi::Error::Success();
}

using Floats = ffi::Buffer<ffi::F32>;
using Ints = ffi::Buffer<ffi::S32>;
XLA_FFI_DEFINE_HANDLER_SYMBOL(multiply, Multiply,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Ret<Floats>()
                                  .Attr<bool>("transpose_x").Attr<bool>("transpose_w"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(gated, GatedForward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Floats>().Ret<Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(gated_backward, GatedBackward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Floats>().Arg<Floats>().Ret<Floats>().Ret<Floats>().Ret<Floats>()
                                  .Ret<Floats>());
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend, Attend,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Ints>().Arg<Ints>().Ret<Floats>().Ret<Floats>().Attr<float>("scale"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend_backward, AttendBackward,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Arg<Ints>().Arg<Ints>().Arg<Floats>().Arg<Floats>().Arg<Floats>()
                                  .Ret<Floats>().Ret<Floats>().Ret<Floats>().Attr<float>("scale"));
