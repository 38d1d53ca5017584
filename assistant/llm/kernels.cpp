// CPU kernels that XLA calls: linear layers over packed weights, and attention over the key/value cache.
//
// Built with -march=native on the machine that runs it, so one source serves AMX, AVX-512 (VNNI, BF16), AVX2 and plain
// x86 or Arm: `Lanes` is a compiler vector type, and only the products of narrow weights have versions with intrinsics.

#include "attention.h"
#include "linear.h"

#define LINEAR(name, Kind)                                                                              \
  XLA_FFI_DEFINE_HANDLER_SYMBOL(name, Linear<Kind>,                                                     \
                                ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()    \
                                    .Arg<ffi::AnyBuffer>().Arg<ffi::Buffer<ffi::F32>>()                 \
                                    .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()          \
                                    .Ret<ffi::Buffer<ffi::F32>>().Attr<float>("epsilon")                \
                                    .Attr<float>("offset").Attr<int64_t>("gate"))
LINEAR(linear_float32, Float32);
LINEAR(linear_bfloat16, BFloat16);
LINEAR(linear_int8, Int8);
XLA_FFI_DEFINE_HANDLER_SYMBOL(heads, Heads,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::Buffer<ffi::F32>>().Attr<float>("epsilon").Attr<float>("offset"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(attend, Attend,
                              ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::Buffer<ffi::F32>>().Arg<ffi::Buffer<ffi::F32>>()
                                  .Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Arg<ffi::Buffer<ffi::S32>>()
                                  .Arg<ffi::Buffer<ffi::S32>>().Ret<ffi::Buffer<ffi::F32>>()
                                  .Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                                  .Attr<float>("scale").Attr<float>("softcap").Attr<int64_t>("window"));
