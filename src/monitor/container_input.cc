#include "monitor/container_input.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>

namespace crisp {
namespace {

// Writes what fits now; false if the other side has gone.
bool WriteSome(int fd, std::string_view& bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return errno == EAGAIN;
    // A terminal whose buffer is full takes nothing and says so in this way, too.
    if (count == 0) return true;
    bytes.remove_prefix(count);
  }
  return true;
}

}  // namespace

void ContainerInput::Write(std::string_view bytes) {
  if (closed()) return;
  if (!WriteSome(end_.get(), bytes)) return Close();
  if (bytes.empty()) return;
  held_ = bytes;
  const absl::Status status = loop_.Add(end_.get(), EPOLLOUT, [this](uint32_t) { Writable(); });
  if (!status.ok()) Close();
}

void ContainerInput::Writable() {
  std::string_view rest = held_;
  if (!WriteSome(end_.get(), rest)) {
    Close();
    return changed_();
  }
  if (!rest.empty()) {
    held_.erase(0, held_.size() - rest.size());
    return;
  }
  held_ = std::string();
  loop_.Remove(end_.get());
  changed_();
}

void ContainerInput::Close() {
  if (closed()) return;
  if (full()) loop_.Remove(end_.get());
  held_ = std::string();
  end_.reset();
}

}  // namespace crisp
