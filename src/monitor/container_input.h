// ContainerInput: the writing end of a container's stdin, a pipe or its terminal. Takes bytes as
// fast as the container reads them; what it does not take at once waits here, one read's worth at
// most, and until that has gone nothing more may come. One thread; owns the descriptor, borrows the
// loop.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "base/unique_fd.h"

namespace crisp {

class ContainerInput {
 public:
  // end is non-blocking. changed is called from the loop when full() or closed() is not what it was
  // after the latest Write().
  ContainerInput(EventLoop& loop, UniqueFd end, std::function<void()> changed)
      : loop_(loop), end_(std::move(end)), changed_(std::move(changed)) {}
  ~ContainerInput() { Close(); }
  ContainerInput(const ContainerInput&) = delete;
  ContainerInput& operator=(const ContainerInput&) = delete;

  // Not while full(). Nothing happens once closed.
  void Write(std::string_view bytes);
  bool full() const { return !held_.empty(); }
  // By Close(), or because the container has closed its side.
  bool closed() const { return !end_.valid(); }
  // The container reads the end of its input, or (a terminal) just no more.
  void Close();

 private:
  void Writable();

  EventLoop& loop_;
  UniqueFd end_;
  const std::function<void()> changed_;
  std::string held_;
};

}  // namespace crisp
