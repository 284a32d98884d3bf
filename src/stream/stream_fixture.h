// What the tests and the benchmark of stream/ share: a backend that runs real processes and dials
// real ports, and clients that speak SPDY and WebSocket over blocking sockets. One thread a client.
#pragma once

#include <openssl/ssl.h>

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/unique_fd.h"
#include "stream/backend.h"
#include "stream/spdy_frame.h"
#include "stream/spdy_header_block.h"

namespace crisp::stream {

// Runs the command of an exec on this machine. An attachment has pipes whose other ends the test
// holds.
class TestBackend final : public StreamBackend {
 public:
  struct AttachEnds {
    UniqueFd in, out, err, ended;  // read, write, write, an eventfd to be written
  };

  absl::StatusOr<std::unique_ptr<RemoteCommand>> StartExec(const CommandRequest& request,
                                                           const Call& call) override;
  absl::StatusOr<std::unique_ptr<RemoteCommand>> StartAttach(const CommandRequest& request,
                                                             const Call& call) override;
  absl::StatusOr<UniqueFd> DialPort(const std::string& pod_id, uint16_t port,
                                    const Call& call) override;

  // Waits for an attachment to be made.
  AttachEnds TakeAttachment();
  // Waits until so many commands are alive.
  bool WaitForAlive(int count);
  // Waits until the last resize was this.
  bool WaitForSize(uint16_t width, uint16_t height);

 private:
  class Process;
  class Attachment;

  absl::Mutex mutex_;
  std::vector<AttachEnds> attachments_ ABSL_GUARDED_BY(mutex_);
  int alive_ ABSL_GUARDED_BY(mutex_) = 0;
  std::pair<uint16_t, uint16_t> size_ ABSL_GUARDED_BY(mutex_);
};

// A blocking connection to "http://host:port/..." or "https://...". Reads give up after 20 s.
class TestConnection {
 public:
  explicit TestConnection(const std::string& url);
  ~TestConnection();
  bool Send(std::string_view bytes);
  // Empty at the end or after an error.
  std::string Receive(size_t most = 256 << 10);
  // The head of the answer, and what came behind it goes to the next Receive.
  std::string ReceiveHead();
  std::string path() const { return path_; }
  int fd() const { return fd_.get(); }

 private:
  UniqueFd fd_;
  SSL_CTX* context_ = nullptr;
  SSL* tls_ = nullptr;
  std::string path_, ahead_;
};

class SpdyClient final : private SpdyFrameReader::Sink {
 public:
  // Asks for the upgrade with these protocols in headers of their own. head() is the answer.
  SpdyClient(const std::string& url, const std::vector<std::string>& protocols,
             const std::string& method = "POST");
  const std::string& head() const { return head_; }
  bool upgraded() const { return head_.starts_with("HTTP/1.1 101 "); }

  uint32_t Open(const SpdyHeaders& headers, bool fin = false);
  uint32_t OpenType(const std::string& type) { return Open({{"streamtype", type}}); }
  bool Write(uint32_t stream, std::string_view data, bool fin = false);
  bool WriteRaw(std::string_view bytes) { return connection_.Send(bytes); }
  void Reset(uint32_t stream) { WriteRaw(SpdyRstStream(stream, SpdyReset::kCancel)); }

  // Reads until the stream has ended or was reset; what it brought.
  std::string ReadAll(uint32_t stream);
  // Reads until the stream has brought this much.
  std::string ReadAtLeast(uint32_t stream, size_t count);
  bool ReadOnce();   // false at the connection's end
  bool ReadToEnd();  // true if a GOAWAY came before it

  struct Incoming {
    std::string data;
    uint64_t bytes = 0;
    bool replied = false, finished = false, reset = false, data_before_reply = false;
    uint32_t reset_status = 0;
  };
  const Incoming& stream(uint32_t id) { return streams_[id]; }
  bool going_away = false;
  uint32_t go_away_status = 0;
  size_t keep_bytes = SIZE_MAX;  // of each stream; what comes beyond is only counted
  std::vector<uint32_t> pings;

 private:
  absl::Status OnControl(SpdyType type, uint8_t flags, std::string_view payload) override;
  absl::Status OnData(uint32_t stream, std::string_view piece, bool fin) override;

  TestConnection connection_;
  std::string head_;
  SpdyFrameReader frames_;
  SpdyHeaderEncoder encoder_;
  SpdyHeaderDecoder decoder_;
  uint32_t next_ = 1;
  std::map<uint32_t, Incoming> streams_;
};

class WebSocketClient {
 public:
  // protocol "" offers none.
  WebSocketClient(const std::string& url, const std::string& protocol);
  const std::string& head() const { return head_; }
  bool upgraded() const { return head_.starts_with("HTTP/1.1 101 "); }

  enum Opcode { kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  bool Send(std::string_view message, Opcode opcode = kBinary);
  bool SendChannel(int channel, std::string_view data) {
    return Send(std::string(1, static_cast<char>(channel)) + std::string(data));
  }
  struct Message {
    int opcode = 0;  // 0: the connection has ended
    std::string data;
  };
  // The next message; close and pong frames are messages too, and a close is answered.
  Message Receive();
  // Reads to the end; what came on each channel, the close code and its reason.
  std::map<int, std::string> ReadAll();
  int close_code = 0;
  std::string close_reason;
  bool WriteRaw(std::string_view bytes) { return connection_.Send(bytes); }

 private:
  bool Fill(size_t count);

  TestConnection connection_;
  std::string head_, buffer_;
  size_t at_ = 0;
};

}  // namespace crisp::stream
