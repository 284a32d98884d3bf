// StreamBackend: what the streaming server asks of the rest of crispd: to start a command, to
// attach to a container, to reach a port of a pod. Implemented by pod/; every method may be called
// from any of the server's worker threads and may wait a little (it asks a monitor), never for a
// client.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/call.h"
#include "base/unique_fd.h"
#include "stream/terminal_size.h"

namespace crisp {

// What Exec and Attach agreed on with the client, checked already: not tty and stderr both, at
// least one stream. cmd is empty for an attach.
struct CommandRequest {
  std::string container_id;
  std::vector<std::string> cmd;
  bool tty = false;
  bool in = false;
  bool out = false;
  bool err = false;
  stream::TerminalSize size;  // of an exec's terminal from its start; zeros: not known yet
};

// Our ends of a command's streams; the session owns them and makes them non-blocking. What the
// request did not ask for is invalid. With tty, `terminal` is the only one of an exec; an attach
// has pipes in any case (the monitor keeps the terminal).
struct CommandStreams {
  UniqueFd in;   // written to; closing it is the command's end of input
  UniqueFd out;  // read until its end
  UniqueFd err;
  UniqueFd terminal;  // read, written
};

// One running command, or one attachment to a container. Destroying it gives the session up: an
// exec goes on without its client (its streams end when the CommandStreams are closed), an
// attachment is dropped.
class RemoteCommand {
 public:
  virtual ~RemoteCommand() = default;
  virtual CommandStreams TakeStreams() = 0;  // once
  // An eventfd, readable when the command (for an attachment: the container) has ended. What it
  // wrote before is in the streams by then; a background child may hold them open beyond.
  virtual int ended() const = 0;
  // The exit code, once ended; an error if it cannot be known. An attachment that ended says 0.
  virtual absl::StatusOr<int> ExitCode() = 0;
  virtual absl::Status Resize(uint16_t width, uint16_t height) = 0;
};

class StreamBackend {
 public:
  virtual ~StreamBackend() = default;
  virtual absl::StatusOr<std::unique_ptr<RemoteCommand>> StartExec(const CommandRequest& request,
                                                                   const Call& call) = 0;
  virtual absl::StatusOr<std::unique_ptr<RemoteCommand>> StartAttach(const CommandRequest& request,
                                                                     const Call& call) = 0;
  // A connected stream socket to localhost:port as the pod sees it: IPv4 first, then IPv6.
  // Unavailable if nothing listens, NotFound if the pod is gone or not ready.
  virtual absl::StatusOr<UniqueFd> DialPort(const std::string& pod_id, uint16_t port,
                                            const Call& call) = 0;
};

}  // namespace crisp
