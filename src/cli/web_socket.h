// WebSocket: a client's connection to a URL of the streaming server, with one of the sub-protocols
// of Kubernetes, in which the first byte of a message names a channel. All of Boost.Beast is behind
// it. Everything happens inside Run(), on the thread that calls it; Post() and Stop() may be called
// from any.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/unique_fd.h"

namespace crisp {

class WebSocket {
 public:
  struct Handler {
    // A message without its channel; calls next, now or later, for the one after it.
    std::function<void(int channel, std::string_view bytes, std::function<void()> next)> message;
    // A signal of those that were asked for.
    std::function<void(int number)> signal;
  };

  // certificate: of an https:// URL, the SHA-256 (hex) of what the server must show. NotFound: the
  // URL has been used or is too old.
  static absl::StatusOr<std::unique_ptr<WebSocket>> Connect(const std::string& url,
                                                            const std::string& certificate,
                                                            const std::string& protocol);
  ~WebSocket();

  // Serves until Stop(), or until the server closes the connection, which is ok, too.
  absl::Status Run(Handler handler);
  void Stop(absl::Status status);
  void Post(std::function<void()> task);

  // Inside Run(): in the order of the calls; sent is called when the message has gone out.
  void Send(int channel, std::string_view bytes, std::function<void()> sent = nullptr);
  void CatchSignal(int number);
  // Replaces the delayed task before.
  void After(absl::Duration delay, std::function<void()> task);

  // A connected socket beside the WebSocket, owned by it.
  void AddPeer(UniqueFd socket);
  // "" at its end, and after an error.
  void ReadPeer(std::function<void(std::string_view)> read);
  void WritePeer(std::string_view bytes, std::function<void(bool good)> written);

 private:
  struct Parts;
  explicit WebSocket(std::unique_ptr<Parts> parts);
  void ReadNext();
  void WriteNext();
  const std::unique_ptr<Parts> parts_;
};

}  // namespace crisp
