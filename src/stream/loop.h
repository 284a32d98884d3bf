// The streaming server's thread and what waits on it: tasks from other threads, timers, descriptors
// that become ready. Hides Asio, which is slow to compile. Everything but Post() belongs to the
// loop's own thread, and every callback runs there.
#pragma once

#include <functional>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace boost::asio {
class io_context;
}

namespace crisp::stream {

class Loop {
 public:
  Loop();
  // Ends the thread. What still waits is dropped, its callbacks are destroyed and not called.
  ~Loop();

  void Start();
  // Any thread. After the end of the thread, tasks are kept until the loop goes, and not run.
  void Post(absl::AnyInvocable<void()> task);
  void Stop();

  boost::asio::io_context& context();

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

// Calls back once, after a time.
class Alarm {
 public:
  explicit Alarm(Loop& loop);
  ~Alarm();
  // Replaces what was set before.
  void Set(absl::Duration after, std::function<void()> fire);
  void Cancel();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

// Owns a descriptor, made non-blocking, and tells when it is ready: once for every call of
// WhenReadable or WhenWritable, and never after Close.
class FdWatch {
 public:
  FdWatch(Loop& loop, UniqueFd fd);
  ~FdWatch();
  int fd() const;
  void WhenReadable(std::function<void()> ready);
  void WhenWritable(std::function<void()> ready);
  void Close();

 private:
  struct State;
  const std::shared_ptr<State> state_;
};

}  // namespace crisp::stream
