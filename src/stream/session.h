// What lies between protocols and jobs. A Session is one client's connection after its upgrade: it
// carries streams, whether by SPDY or by WebSocket channels. A SessionUser is what the connection
// is there for: a command, or forwarded ports. Loop's thread.
//
// Life: the server's SessionSet holds a session until it has ended. A session holds its user until
// then, and the user the session and its streams; OnClosed breaks the circle. A stream forgets its
// receivers when the session ends.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "stream/spdy_header_block.h"

namespace crisp::stream {

// Once this much from the client waits for somebody slow, the session stops reading.
inline constexpr size_t kMaxWaiting = 256 << 10;

// What a connection, or a pump, reads into: small until much comes at once.
inline constexpr size_t kSmallBuffer = 16 << 10;
inline constexpr size_t kLargeBuffer = 256 << 10;

// How long a client may take to close after our good-bye. Its library loses what it has not yet
// looked at when the connection ends, so the client goes first.
inline constexpr absl::Duration kLinger = absl::Seconds(2);

class Session;

class ClientStream {
 public:
  explicit ClientStream(Session* session) : session_(session) {}
  virtual ~ClientStream() = default;

  // Sends data, which is borrowed until `sent` is called (from the loop, not from inside Send). One
  // at a time. After the session's end `sent` is dropped.
  virtual void Send(std::string_view data, std::function<void()> sent) = 0;
  // Sends text that is kept for as long as it takes.
  void SendText(std::string text);
  // Nothing more will be sent: a half-close, if the protocol has one.
  virtual void Finish() = 0;
  // Gives the stream up, in both directions; for a protocol without such a thing, nothing.
  virtual void Reset() = 0;

  // Who takes what the client sends. on_end: the client has finished. on_reset: it has given the
  // stream up. What came earlier was kept and is handed over now.
  void Receive(std::function<void(std::string_view)> on_data, std::function<void()> on_end,
               std::function<void()> on_reset);
  void Forget();

  // For sessions: what the client sent.
  void Deliver(std::string_view data);
  void DeliverEnd();
  void DeliverReset();

 protected:
  // The stream has ended, or the session has.
  void Unlink();

  Session* session_;  // null after its end

 private:
  // Shared, because one of them may be the cause of its own dropping.
  struct Receivers {
    std::function<void(std::string_view)> on_data;
    std::function<void()> on_end, on_reset;
  };
  std::shared_ptr<const Receivers> receivers_;
  std::string early_;
  bool receiving_ = false, holding_ = false, ended_ = false, reset_ = false;
};

class SessionUser {
 public:
  virtual ~SessionUser() = default;
  // The client opened a stream (SPDY). False refuses it; nothing may be sent from inside.
  virtual bool OnStream(std::shared_ptr<ClientStream> stream, const SpdyHeaders& headers) = 0;
  // The session has ended otherwise than by the user's own Close. Once, and the last call.
  virtual void OnClosed(const absl::Status& why) = 0;
};

// What the server may have to cut: a connection in any phase.
class Cuttable {
 public:
  virtual ~Cuttable() = default;
  virtual void Cut(const absl::Status& why) = 0;
};

class Session : public Cuttable {
 public:
  // Orderly: what was sent arrives, then the protocol's good-bye. The user is dropped.
  virtual void Close() = 0;
  // The client broke the protocol, or took too long: the protocol's own error, then the end.
  virtual void Fail(const absl::Status& why) = 0;

  // While anybody holds, nothing is read from the client.
  void HoldReading() { ++holders_; }
  void ReleaseReading() {
    if (--holders_ == 0) ReadOn();
  }

 protected:
  bool held() const { return holders_ > 0; }
  virtual void ReadOn() = 0;  // reads if nobody holds and no read is under way

 private:
  int holders_ = 0;
};

}  // namespace crisp::stream
