// TestClient: for tests: the daemon's end of a connection to a monitor, which runs in this process
// (then `serve` serves a round of its loop) or another one (then it waits a little). One thread.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/monitor.pb.h"
#include "base/unique_fd.h"

namespace crisp {

// As a reply has it.
inline int CodeOf(absl::StatusCode code) { return static_cast<int>(code); }

class TestClient {
 public:
  TestClient(UniqueFd socket, std::function<void()> serve)
      : socket_(std::move(socket)), serve_(std::move(serve)) {}

  // Sends it under an id of its own, which is returned.
  uint64_t Send(monitor::Request request, const std::vector<int>& descriptors = {});
  // Waits for the reply to it; code is DEADLINE_EXCEEDED after 20 s.
  monitor::Reply Wait(uint64_t id);
  monitor::Reply Call(monitor::Request request, const std::vector<int>& descriptors = {}) {
    return Wait(Send(std::move(request), descriptors));
  }
  // The next event that came or comes; an empty packet after 20 s.
  monitor::Packet NextEvent();
  // Waits for the exit of this container or exec, passing over other events.
  std::optional<monitor::ExitRecord> WaitForExit(const std::string& container_id);
  std::optional<monitor::ExecExited> WaitForExec(const std::string& exec_id);
  // Serves until it holds, at most 20 s.
  bool Until(const std::function<bool()>& holds);

  monitor::Reply Hello();

  int socket() const { return socket_.get(); }
  void Close() { socket_.reset(); }
  bool peer_closed() const { return peer_closed_; }
  // What came with the latest reply that had a descriptor.
  UniqueFd TakeDescriptor() { return std::move(descriptor_); }

 private:
  void Receive();

  UniqueFd socket_;
  const std::function<void()> serve_;
  uint64_t next_id_ = 1;
  bool peer_closed_ = false;
  std::deque<monitor::Packet> events_;
  std::vector<monitor::Reply> replies_;
  UniqueFd descriptor_;
};

}  // namespace crisp
