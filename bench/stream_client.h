// StreamClient: the cheapest client that can be of a CRI streaming URL, so that the server is what
// is measured: it speaks SPDY/3.1 or WebSocket, sends frames of the size that kubectl sends, and
// throws away what comes without looking at it. Blocking; one thread.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/unique_fd.h"
#include "stream/spdy_header_block.h"

namespace crisp {

class StreamClient {
 public:
  enum class Protocol { kSpdy, kWebSocket };

  // To an http:// URL of Exec, with output and, if wanted, input.
  static absl::StatusOr<std::unique_ptr<StreamClient>> Exec(const std::string& url,
                                                            Protocol protocol, bool input);
  // To one of PortForward, and through it to the port.
  static absl::StatusOr<std::unique_ptr<StreamClient>> PortForward(const std::string& url,
                                                                   Protocol protocol, int port);

  // To the command's stdin or the port.
  absl::Status Send(std::string_view bytes);
  // So many bytes of no meaning.
  absl::Status SendMuch(size_t bytes);
  absl::Status EndInput();
  // Waits until so much has come, frames included.
  absl::Status DropBytes(size_t bytes);
  // Waits until this text has come.
  absl::Status AwaitText(std::string_view text);

 private:
  explicit StreamClient(Protocol protocol) : protocol_(protocol) {}
  absl::Status Connect(const std::string& url, bool port_forward);
  absl::Status OpenStream(stream::SpdyHeaders headers, bool ended);
  std::string Frame(std::string_view bytes, bool last) const;
  absl::Status SendRaw(std::string_view bytes);
  absl::StatusOr<std::string> ReceiveSome();

  const Protocol protocol_;
  UniqueFd fd_;
  stream::SpdyHeaderEncoder encoder_;
  uint32_t next_stream_ = 1;
  uint32_t input_stream_ = 0;
  std::string ahead_;  // came with the answer to the request
};

}  // namespace crisp
