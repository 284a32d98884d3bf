// WebSocketSession: a client that speaks one of the channel protocols on a WebSocket. The channels
// are there from the start; a message of one channel goes out for every Send. Loop's thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "stream/channel_decoder.h"
#include "stream/send_queue.h"
#include "stream/server_context.h"
#include "stream/session.h"
#include "stream/session_timer.h"
#include "stream/websocket.h"

namespace crisp::stream {

class WebSocketSession final : public Session,
                               private ChannelDecoder::Sink,
                               public std::enable_shared_from_this<WebSocketSession> {
 public:
  WebSocketSession(ServerContext& context, std::shared_ptr<WebSocket> socket,
                   ChannelProtocol protocol, int channels);
  ~WebSocketSession() override;

  std::shared_ptr<ClientStream> channel(int index);

  // Enters the set of sessions and begins to read.
  void Start(std::shared_ptr<SessionUser> user);

  void Close() override;
  void Fail(const absl::Status& why) override;
  void Cut(const absl::Status& why) override;

 private:
  class Channel;
  enum class State { kOpen, kClosing, kClosed };

  void OnChannel(int channel, std::string_view data) override;
  void OnChannelClosed(int channel) override;
  void ReadOn() override;
  void OnRead(const absl::Status& status, size_t count, bool last);
  void Push(int channel, std::string_view data, std::function<void()> sent);
  void WriteOn();
  void DropUser(const absl::Status* why);
  void SayGoodBye();

  ServerContext& context_;
  const std::shared_ptr<WebSocket> socket_;
  const ChannelProtocol protocol_;
  std::shared_ptr<SessionUser> user_;
  std::vector<std::shared_ptr<Channel>> channels_;
  ChannelDecoder decoder_;
  State state_ = State::kOpen;
  WebSocket::Code code_ = WebSocket::Code::kNormal;
  std::string reason_;
  SendQueue queue_;
  std::vector<char> buffer_;
  bool reading_ = false, parting_ = false;
  SessionTimer timer_;
};

}  // namespace crisp::stream
