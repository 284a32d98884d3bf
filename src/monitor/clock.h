// The wall clock as every time in the protocol and the logs gives it. Any thread.
#pragma once

#include <time.h>

#include <cstdint>

namespace crisp {

// Unix time in nanoseconds.
inline int64_t UnixNanos() {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace crisp
