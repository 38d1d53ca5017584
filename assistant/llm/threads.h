// Work on the threads of XLA, for the kernels of the engine and of the training.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using std::int64_t;

static constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

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
