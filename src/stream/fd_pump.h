// Between descriptors and a client's streams: FdPump copies what a command, or a port, writes;
// FdWriter writes what the client sends. Memory is bounded: a pump reads on once the client has
// taken what it has, and a writer with too much waiting stops the reading of its session. Loop's
// thread. Both are held by shared_ptr, and by themselves while they wait.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "stream/loop.h"
#include "stream/session.h"

namespace crisp::stream {

class FdPump : public std::enable_shared_from_this<FdPump> {
 public:
  // on_end: all has been sent, because the descriptor ended or as StopAfterWaiting says. Not called
  // after Close.
  FdPump(std::shared_ptr<FdWatch> from, std::shared_ptr<ClientStream> to,
         std::function<void()> on_end)
      : from_(std::move(from)), to_(std::move(to)), on_end_(std::move(on_end)) {}

  void Start() { Read(); }
  // Whoever wrote has ended: what waits in the descriptor now is the last that is passed on, even
  // if somebody else holds it open. A terminal passes on late what was written, so it gets `grace`.
  void StopAfterWaiting(absl::Duration grace, Loop& loop);
  // Reads on, but sends no more: the client has given the stream up, the writer shall not notice.
  void Discard() { discard_ = true; }
  void Close();
  bool ended() const { return ended_; }

 private:
  void Read();
  void Sent(size_t count);
  void End();

  const std::shared_ptr<FdWatch> from_;
  const std::shared_ptr<ClientStream> to_;
  std::function<void()> on_end_;
  std::vector<char> buffer_;
  size_t wanted_ = 0;   // size of the next buffer
  size_t sending_ = 0;  // bytes on their way to the client
  bool discard_ = false, ended_ = false, stopping_ = false;
  uint64_t left_ = 0;  // bytes until the end, when stopping_
  absl::Duration grace_;
  std::unique_ptr<Alarm> alarm_;
};

class FdWriter : public std::enable_shared_from_this<FdWriter> {
 public:
  // on_broken: nobody reads any more. What comes after is dropped.
  FdWriter(std::shared_ptr<FdWatch> to, std::shared_ptr<Session> session,
           std::function<void()> on_broken)
      : to_(std::move(to)), session_(std::move(session)), on_broken_(std::move(on_broken)) {}

  void Write(std::string_view data);
  // Calls `then` once all has been written, or cannot be.
  void Finish(std::function<void()> then);
  void Close();

 private:
  // How much of data the descriptor takes now; SIZE_MAX if it is broken.
  size_t TryWrite(std::string_view data);
  void Flush();
  void Break();
  void Hold(bool hold);

  const std::shared_ptr<FdWatch> to_;
  std::shared_ptr<Session> session_;
  std::function<void()> on_broken_, then_;
  std::string waiting_;
  size_t written_ = 0;  // of waiting_
  bool broken_ = false, holding_ = false, enlarged_ = false;
};

}  // namespace crisp::stream
