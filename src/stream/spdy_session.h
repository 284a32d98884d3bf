// SpdySession: a client that speaks SPDY/3.1, on a socket or inside a WebSocket. It opens streams;
// we answer, and open none. There is no flow control (the clients' library has none), so a slow
// receiver on one stream stops the reading of all. Loop's thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "stream/send_queue.h"
#include "stream/server_context.h"
#include "stream/session.h"
#include "stream/session_timer.h"
#include "stream/socket.h"
#include "stream/spdy_frame.h"

namespace crisp::stream {

class SpdySession final : public Session,
                          private SpdyFrameReader::Sink,
                          public std::enable_shared_from_this<SpdySession> {
 public:
  static constexpr size_t kMaxStreams = 1024;

  SpdySession(ServerContext& context, std::shared_ptr<ByteStream> bytes);
  ~SpdySession() override;

  // Enters the set of sessions and begins to read.
  void Start(std::shared_ptr<SessionUser> user);

  void Close() override;
  void Fail(const absl::Status& why) override;
  void Cut(const absl::Status& why) override;

 private:
  class Stream;
  enum class State { kOpen, kClosing, kClosed };

  absl::Status OnControl(SpdyType type, uint8_t flags, std::string_view payload) override;
  absl::Status OnData(uint32_t stream, std::string_view piece, bool fin) override;
  absl::Status OnSynStream(uint8_t flags, std::string_view payload);
  absl::Status OnHeaders(uint8_t flags, std::string_view payload);
  absl::Status OnReset(std::string_view payload);

  void ReadOn() override;
  void OnRead(const absl::Status& status, size_t count);
  void Push(std::string head, std::string_view body = {}, std::function<void()> sent = nullptr);
  void WriteOn();
  void DropUser(const absl::Status* why);
  void EndStream(uint32_t id);
  void FinishClosing();

  ServerContext& context_;
  std::shared_ptr<ByteStream> bytes_;
  std::shared_ptr<SessionUser> user_;
  State state_ = State::kOpen;
  SpdyFrameReader frames_;
  SpdyHeaderDecoder decoder_;
  SpdyHeaderEncoder encoder_;
  std::map<uint32_t, std::shared_ptr<Stream>> streams_;
  uint32_t last_stream_ = 0;
  uint32_t unknown_stream_ = 0;  // the last one that data came for without its being open
  SendQueue queue_;
  std::vector<char> buffer_;
  bool reading_ = false, choked_ = false, gone_away_ = false, failed_ = false;
  SessionTimer timer_;
};

}  // namespace crisp::stream
