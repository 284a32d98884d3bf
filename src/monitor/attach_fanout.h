// AttachFanout: the attach clients of one container. What the container writes goes to each of
// them, what they write goes to the container. A client's pipes are its only buffers: one that does
// not empty them is cut, so that neither the container nor its log ever waits for a client; input,
// on the other hand, stays in a client's pipe until the container reads it. One thread; owns the
// clients' descriptors, borrows loop and scratch memory.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "base/event_loop.h"
#include "base/unique_fd.h"
#include "monitor/container_input.h"
#include "monitor/read_buffer.h"

namespace crisp {

class AttachFanout {
 public:
  enum class Stream { kOut, kErr };
  // Ends of pipes; what the client did not ask for is invalid.
  struct Client {
    std::string id;
    UniqueFd in;   // read from
    UniqueFd out;  // written to
    UniqueFd err;
    // Its descriptors are closed; why is empty unless it was cut.
    std::function<void(std::string_view why)> ended;
  };

  // input_once: the end of the first client's input is the end of the container's. keep_early: what
  // is written before the first client that reads is there is kept for it, the last 16 KiB of it.
  AttachFanout(EventLoop& loop, ReadBuffer& buffer, bool input_once, bool keep_early = false)
      : loop_(loop),
        buffer_(buffer),
        input_once_(input_once),
        early_(keep_early ? std::make_unique<Early>() : nullptr) {}
  ~AttachFanout();

  // Where the clients' input goes. Without it, and when it is closed, a client finds its pipe
  // closed.
  void SetInput(UniqueFd end);

  // AlreadyExists, ResourceExhausted, FailedPrecondition (nothing but a closed input was asked
  // for); ended is not called then.
  absl::Status Add(Client client);
  void Write(Stream stream, std::string_view bytes);
  // The end of the container: of its input, and of all clients.
  void End();

 private:
  // What was written while nobody read.
  struct Early {
    std::string out, err;
  };

  absl::Status Watch(Client& client);
  absl::Status WatchInput(Client& client);
  void Keep(Stream stream, std::string_view bytes);
  void WriteTo(Client& client, Stream stream, std::string_view bytes);
  void ReadInput(Client& client);
  void PauseInput();
  void InputChanged();
  void CloseAllInput();
  void CloseOne(Client& client, UniqueFd& fd);
  void Drop(Client& client, std::string_view why);

  EventLoop& loop_;
  ReadBuffer& buffer_;
  const bool input_once_;
  std::unique_ptr<Early> early_;  // until it has been handed over
  std::optional<ContainerInput> input_;
  std::map<std::string, std::unique_ptr<Client>> clients_;
};

}  // namespace crisp
