// The WebSocket sub-protocols *.channel.k8s.io: every message begins with a byte that names its
// channel. ChannelDecoder takes messages apart, piece by piece as they come; EncodeChannel makes
// them. In the base64 protocols the channel is a digit and the rest is base64 text. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace crisp::stream {

struct ChannelProtocol {
  std::string name;  // as the client asks for it; "" without a sub-protocol
  int version = 1;   // decides how the end is told
  bool base64 = false;
  bool half_close = false;  // v5: the client may finish one channel
};

// Of a client's command or attachment; v1 to v3 never had names of their own here.
std::optional<ChannelProtocol> CommandProtocol(std::string_view name);
// Of forwarded ports.
std::optional<ChannelProtocol> PortProtocol(std::string_view name);

inline constexpr uint8_t kCloseChannel = 255;

class ChannelDecoder {
 public:
  class Sink {
   public:
    virtual ~Sink() = default;
    virtual void OnChannel(int channel, std::string_view data) = 0;
    virtual void OnChannelClosed(int channel) = 0;
  };

  // Channels are 0 to channels-1.
  ChannelDecoder(const ChannelProtocol& protocol, int channels)
      : base64_(protocol.base64), half_close_(protocol.half_close), channels_(channels) {}

  // A piece of a message; last: the message ends with it. InvalidArgument for a channel that the
  // protocol does not have, or what is no base64.
  absl::Status Feed(std::string_view piece, bool last, Sink& sink);

 private:
  absl::Status Begin(uint8_t first);
  absl::Status FeedBase64(std::string_view piece, bool last, Sink& sink);
  absl::Status FeedClose(std::string_view piece, Sink& sink);

  const bool base64_;
  const bool half_close_;
  const int channels_;
  bool begun_ = false;  // the channel of this message is known
  int channel_ = 0;
  std::string carry_;  // base64: the start of a group of four
};

// What precedes data in a message of a binary protocol, or the whole message of a base64 one.
std::string EncodeChannel(const ChannelProtocol& protocol, int channel, std::string_view data);

}  // namespace crisp::stream
