// Work on several threads, for the kernels of the engine and of the training.

#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;
using std::int64_t;

static constexpr int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Runs work(begin, end) over [0, items) in chunks on the threads of XLA. Chunks are claimed, not assigned: a helper that
// starts late finds nothing left, so waiting for it can never deadlock the pool that runs us.
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

// Helpers of the thread that calls a kernel. XLA has threads, too, but those sleep between two kernels of a step, and
// waking one takes longer than most kernels of a small model. These watch for the next call for some 300 microseconds
// before they sleep. Chunks are claimed, not assigned, so nobody waits for a helper that comes late.
class Helpers {
 public:
  static Helpers& of(int64_t count) {
    static Helpers* helpers = new Helpers(count);  // never destroyed: its threads may outlive static objects
    return *helpers;
  }

  // Runs call(context, chunk) for all chunks, here and on the helpers; false when they are at work for somebody else.
  bool run(uint32_t chunks, void (*call)(const void*, int64_t), const void* context) {
    if (busy_.exchange(true, std::memory_order_acquire)) return false;
    call_ = call, context_ = context;
    left_.store(chunks, std::memory_order_relaxed);
    claims_.store(++round_ << 32 | chunks);
    if (asleep_.load() > 0) {
      std::lock_guard<std::mutex> lock(mutex_);
      wake_.notify_all();
    }
    help();
    for (int spins = 0; left_.load(std::memory_order_acquire) > 0;)
      if (++spins < 4000) relax();
      else std::this_thread::yield();
    busy_.store(false, std::memory_order_release);
    return true;
  }

 private:
  explicit Helpers(int64_t count) {
    for (int64_t i = 0; i < count; ++i) std::thread([this] { watch(); }).detach();
  }

  static uint32_t unclaimed(uint64_t claims) { return static_cast<uint32_t>(claims); }

  void help() {
    uint64_t claims = claims_.load();
    while (unclaimed(claims) > 0)  // what is claimed here keeps the round open, so call_ and context_ are its own
      if (claims_.compare_exchange_weak(claims, claims - 1)) {
        call_(context_, unclaimed(claims) - 1);
        left_.fetch_sub(1, std::memory_order_release);
        claims = claims_.load();
      }
  }

  [[noreturn]] void watch() {
    for (int spins = 0;; ++spins) {
      if (unclaimed(claims_.load(std::memory_order_relaxed)) > 0) {
        help();
        spins = 0;
      } else if (spins < 6000) {
        relax();
      } else {
        std::unique_lock<std::mutex> lock(mutex_);
        asleep_.fetch_add(1);
        wake_.wait(lock, [this] { return unclaimed(claims_.load()) > 0; });
        asleep_.fetch_sub(1);
        spins = 0;
      }
    }
  }

  std::atomic<uint64_t> claims_{0};  // the round's number, and how many of its chunks nobody has claimed
  std::atomic<uint32_t> left_{0};    // chunks that are not done
  std::atomic<int> asleep_{0};
  std::atomic<bool> busy_{false};
  uint64_t round_ = 0;
  void (*call_)(const void*, int64_t) = nullptr;
  const void* context_ = nullptr;
  std::mutex mutex_;
  std::condition_variable wake_;
};

// As `parallel`, for work of microseconds that comes again soon: on helpers that are awake. They are only for the steps
// of the engine, since between the long kernels of a training they would take the cores from XLA.
template <typename Work>
static void promptly(ffi::ThreadPool& pool, int64_t items, int64_t chunk, Work work) {
  const int64_t chunks = (items + chunk - 1) / chunk, helpers = pool.num_threads() - 1;
  if (helpers <= 0 || chunks <= 1) return work(0, items);
  const auto part = [&](int64_t i) { work(i * chunk, std::min(items, (i + 1) * chunk)); };
  const auto call = [](const void* context, int64_t i) { (*static_cast<decltype(&part)>(context))(i); };
  if (!Helpers::of(helpers).run(static_cast<uint32_t>(chunks), call, &part)) parallel(pool, items, chunk, work);
}
