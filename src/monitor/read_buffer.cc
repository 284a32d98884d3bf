#include "monitor/read_buffer.h"

#include "base/status.h"

namespace crisp {
namespace {

// A pipe's default capacity: one read empties it.
constexpr size_t kBufferBytes = 64 << 10;
constexpr size_t kPageBytes = 4096;
constexpr absl::Duration kIdleTime = absl::Seconds(2);

}  // namespace

absl::StatusOr<std::unique_ptr<ReadBuffer>> ReadBuffer::Create(EventLoop& loop) {
  void* const memory = mmap(nullptr, kBufferBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) return ErrnoStatus("mmap");
  return std::unique_ptr<ReadBuffer>(new ReadBuffer(loop, memory));
}

ReadBuffer::~ReadBuffer() {
  if (waiting_) loop_.CancelTimer(timer_);
  munmap(memory_, kBufferBytes);
}

std::span<char> ReadBuffer::Bytes() { return {static_cast<char*>(memory_), kBufferBytes}; }

void ReadBuffer::Used(size_t bytes) {
  if (bytes <= kPageBytes) return;
  busy_ = true;
  if (waiting_) return;
  waiting_ = true;
  timer_ = loop_.After(kIdleTime, [this] { Release(); });
}

void ReadBuffer::Release() {
  if (busy_) {
    busy_ = false;
    timer_ = loop_.After(kIdleTime, [this] { Release(); });
    return;
  }
  waiting_ = false;
  madvise(memory_, kBufferBytes, MADV_DONTNEED);
}

}  // namespace crisp
