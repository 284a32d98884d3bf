#include "image/byte_queue.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace crisp {
namespace {

char* MapMemory(size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<char*>(memory);
}

}  // namespace

ByteQueue::ByteQueue(size_t buffer_size, size_t buffers)
    : buffer_size_(buffer_size),
      buffers_(buffers),
      memory_(MapMemory(buffer_size * buffers)),
      sizes_(buffers) {}

ByteQueue::~ByteQueue() {
  if (memory_ != nullptr) munmap(memory_, buffer_size_ * buffers_);
}

absl::StatusOr<std::span<char>> ByteQueue::Room() {
  if (memory_ == nullptr) return absl::ResourceExhaustedError("no memory for a layer's buffers");
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(this, &ByteQueue::HasRoom));
  if (left_) return absl::AbortedError("the next stage has ended");
  char* buffer = memory_ + (written_ % buffers_) * buffer_size_;
  return std::span<char>(buffer + filled_, buffer_size_ - filled_);
}

void ByteQueue::Fill(size_t count) {
  filled_ += count;
  if (filled_ < buffer_size_) return;
  absl::MutexLock lock(&mutex_);
  sizes_[written_ % buffers_] = std::exchange(filled_, 0);
  ++written_;
}

absl::Status ByteQueue::Push(std::string_view bytes) {
  while (!bytes.empty()) {
    auto room = Room();
    if (!room.ok()) return room.status();
    const size_t count = std::min(bytes.size(), room->size());
    std::memcpy(room->data(), bytes.data(), count);
    bytes.remove_prefix(count);
    Fill(count);
  }
  return absl::OkStatus();
}

void ByteQueue::Close(absl::Status status) {
  absl::MutexLock lock(&mutex_);
  if (closed_) return;
  // What is filled lies in a buffer of its own: Room() gave it out only when one was free.
  if (filled_ > 0) {
    sizes_[written_ % buffers_] = std::exchange(filled_, 0);
    ++written_;
  }
  closed_ = true;
  end_ = std::move(status);
}

absl::StatusOr<std::string_view> ByteQueue::Next() {
  absl::MutexLock lock(&mutex_);
  if (std::exchange(taken_, false)) ++read_;
  mutex_.Await(absl::Condition(this, &ByteQueue::HasBytes));
  if (written_ == read_) {
    if (!end_.ok()) return end_;
    return std::string_view();
  }
  taken_ = true;
  const size_t index = read_ % buffers_;
  return std::string_view(memory_ + index * buffer_size_, sizes_[index]);
}

void ByteQueue::Leave() {
  absl::MutexLock lock(&mutex_);
  left_ = true;
}

}  // namespace crisp
