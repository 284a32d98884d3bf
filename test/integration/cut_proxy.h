// CutProxy: a TCP proxy on a loopback port that tells a test when so and so many bytes have come
// from its target, before it passes on any more. Threads of its own; methods on any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace crisp {

class CutProxy {
 public:
  explicit CutProxy(const std::string& target);  // "127.0.0.1:port"
  ~CutProxy();
  CutProxy(const CutProxy&) = delete;

  std::string address() const;  // "127.0.0.1:port"

  // Counts from 0 again; when `bytes` have been passed on, calls `cut` once on a thread of the
  // proxy, which passes nothing on meanwhile. A null `cut` only counts.
  void Arm(int64_t bytes, std::function<void()> cut) ABSL_LOCKS_EXCLUDED(mutex_);
  int64_t passed() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Accept();
  void Serve(int client);
  // False if the connection is over.
  bool PassOn(int target, int client) ABSL_LOCKS_EXCLUDED(mutex_);

  const int target_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  mutable absl::Mutex mutex_;
  int64_t passed_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t limit_ ABSL_GUARDED_BY(mutex_) = 0;
  std::function<void()> cut_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace crisp
