// ByteQueue: a bounded ring of buffers between one producing and one consuming thread, so that two
// stages of a layer's way to disk overlap without unbounded memory. The buffers are mapped, not
// allocated, and go back to the kernel with the queue.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "image/byte_source.h"

namespace crisp {

class ByteQueue : public ByteSource {
 public:
  ByteQueue(size_t buffer_size, size_t buffers);
  ~ByteQueue() override;
  ByteQueue(const ByteQueue&) = delete;
  ByteQueue& operator=(const ByteQueue&) = delete;

  // Producer: where to put the next bytes (never empty); waits for a free buffer. Aborted if the
  // consumer has left.
  absl::StatusOr<std::span<char>> Room() ABSL_LOCKS_EXCLUDED(mutex_);
  // So many bytes of that room are filled; hands the buffer over once it is full.
  void Fill(size_t count) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Push(std::string_view bytes);
  // The end, after what was filled: ok, or the error that the consumer gets.
  void Close(absl::Status status) ABSL_LOCKS_EXCLUDED(mutex_);

  // Consumer.
  absl::StatusOr<std::string_view> Next() override ABSL_LOCKS_EXCLUDED(mutex_);
  // Takes no more; the producer is told at its next step.
  void Leave() ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  bool HasRoom() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return left_ || written_ - read_ < buffers_;
  }
  bool HasBytes() const ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return closed_ || written_ > read_; }

  const size_t buffer_size_;
  const size_t buffers_;
  char* const memory_;
  std::vector<size_t> sizes_;  // of the buffers handed over
  size_t filled_ = 0;          // in the producer's buffer; the producer's own
  bool taken_ = false;         // the consumer still reads buffer read_; the consumer's own
  absl::Mutex mutex_;
  size_t written_ ABSL_GUARDED_BY(mutex_) = 0;  // buffers handed over so far
  size_t read_ ABSL_GUARDED_BY(mutex_) = 0;     // buffers given back so far
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
  bool left_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status end_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
