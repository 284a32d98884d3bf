// ReadBuffer: the one buffer into which all output of a pod's containers is read. Its pages go back
// to the kernel when it was not used much for a while, so that an idle monitor stays small. One
// thread; borrows the loop.
#pragma once

#include <sys/mman.h>

#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/event_loop.h"

namespace crisp {

class ReadBuffer {
 public:
  static absl::StatusOr<std::unique_ptr<ReadBuffer>> Create(EventLoop& loop);
  ~ReadBuffer();

  // Valid until the next round of the event loop.
  std::span<char> Bytes();
  // After so many bytes of it were written.
  void Used(size_t bytes);

 private:
  ReadBuffer(EventLoop& loop, void* memory) : loop_(loop), memory_(memory) {}
  void Release();

  EventLoop& loop_;
  void* const memory_;
  bool busy_ = false;     // used since the timer was set
  bool waiting_ = false;  // the timer is set
  EventLoop::TimerId timer_ = 0;
};

}  // namespace crisp
