#include "stream/channel_decoder.h"

#include "absl/strings/escaping.h"
#include "base/status.h"

namespace crisp::stream {

std::optional<ChannelProtocol> CommandProtocol(std::string_view name) {
  if (name.empty() || name == "channel.k8s.io") return ChannelProtocol{std::string(name), 1};
  if (name == "base64.channel.k8s.io") return ChannelProtocol{std::string(name), 1, true};
  if (name == "v4.channel.k8s.io") return ChannelProtocol{std::string(name), 4};
  if (name == "v4.base64.channel.k8s.io") return ChannelProtocol{std::string(name), 4, true};
  if (name == "v5.channel.k8s.io") return ChannelProtocol{std::string(name), 5, false, true};
  return std::nullopt;
}

std::optional<ChannelProtocol> PortProtocol(std::string_view name) {
  if (name.empty() || name == "v4.channel.k8s.io") return ChannelProtocol{std::string(name), 4};
  if (name == "v4.base64.channel.k8s.io") return ChannelProtocol{std::string(name), 4, true};
  return std::nullopt;
}

absl::Status ChannelDecoder::Feed(std::string_view piece, bool last, Sink& sink) {
  if (!begun_ && !piece.empty()) {
    RETURN_IF_ERROR(Begin(static_cast<uint8_t>(piece.front())));
    piece.remove_prefix(1);
  }
  if (begun_) {
    if (channel_ == kCloseChannel) {
      RETURN_IF_ERROR(FeedClose(piece, sink));
    } else if (base64_) {
      RETURN_IF_ERROR(FeedBase64(piece, last, sink));
    } else if (!piece.empty()) {
      sink.OnChannel(channel_, piece);
    }
  }
  if (last) begun_ = false;
  return absl::OkStatus();
}

absl::Status ChannelDecoder::Begin(uint8_t first) {
  begun_ = true;
  carry_.clear();
  channel_ = base64_ ? first - '0' : first;
  if (half_close_ && first == kCloseChannel) {
    channel_ = kCloseChannel;
    return absl::OkStatus();
  }
  if (channel_ < 0 || channel_ >= channels_) {
    return absl::InvalidArgumentError(
        Cat("a message for channel ", channel_, ", where 0 to ", channels_ - 1, " exist"));
  }
  return absl::OkStatus();
}

absl::Status ChannelDecoder::FeedClose(std::string_view piece, Sink& sink) {
  for (char c : piece) {
    const int channel = static_cast<uint8_t>(c);
    if (channel >= channels_) {
      return absl::InvalidArgumentError(
          Cat("the end of channel ", channel, ", where 0 to ", channels_ - 1, " exist"));
    }
    sink.OnChannelClosed(channel);
  }
  return absl::OkStatus();
}

absl::Status ChannelDecoder::FeedBase64(std::string_view piece, bool last, Sink& sink) {
  carry_.append(piece);
  const size_t whole = last ? carry_.size() : carry_.size() / 4 * 4;
  if (whole == 0) return absl::OkStatus();
  std::string data;
  if (!absl::Base64Unescape(absl::string_view(carry_).substr(0, whole), &data))
    return absl::InvalidArgumentError(Cat("channel ", channel_, " got what is no base64"));
  carry_.erase(0, whole);
  if (!data.empty()) sink.OnChannel(channel_, data);
  return absl::OkStatus();
}

std::string EncodeChannel(const ChannelProtocol& protocol, int channel, std::string_view data) {
  if (!protocol.base64) return std::string(1, static_cast<char>(channel));
  std::string text;
  absl::Base64Escape(ToAbsl(data), &text);
  return Cat(std::string(1, static_cast<char>('0' + channel)), text);
}

}  // namespace crisp::stream
