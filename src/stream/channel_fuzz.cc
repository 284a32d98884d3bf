// Messages of a hostile WebSocket client. The first byte chooses the protocol; then each piece
// follows its length, whose highest bit says that the message ends with it.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "stream/channel_decoder.h"

namespace {

using namespace crisp::stream;  // NOLINT

class Count final : public ChannelDecoder::Sink {
 public:
  void OnChannel(int channel, std::string_view data) override {
    if (channel < 0 || channel > 4 || data.empty()) std::abort();
    bytes += data.size();
  }
  void OnChannelClosed(int channel) override {
    if (channel < 0 || channel > 4) std::abort();
  }
  size_t bytes = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr const char* kProtocols[] = {"", "base64.channel.k8s.io", "v4.base64.channel.k8s.io",
                                        "v5.channel.k8s.io"};
  if (size == 0) return 0;
  ChannelDecoder decoder(*CommandProtocol(kProtocols[data[0] % 4]), 5);
  Count count;
  std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  while (!rest.empty()) {
    const uint8_t head = static_cast<uint8_t>(rest.front());
    rest.remove_prefix(1);
    const std::string_view piece = rest.substr(0, head & 127);
    rest.remove_prefix(piece.size());
    if (!decoder.Feed(piece, (head & 128) != 0, count).ok()) break;
  }
  if (count.bytes > size) std::abort();
  return 0;
}
