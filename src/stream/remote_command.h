// RemoteCommandUser: a client's exec or attach. Waits for the client's streams (SPDY) or takes the
// channels (WebSocket), and a moment for a terminal's size, starts the command, copies in all
// directions, passes resizes on, and tells the end: first the rest of the output, then its end,
// then the outcome, then the session's close. Loop's thread; the backend is asked on workers.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "stream/backend.h"
#include "stream/fd_pump.h"
#include "stream/server_context.h"
#include "stream/session.h"
#include "stream/terminal_size.h"

namespace crisp::stream {

struct CommandJob {
  CommandRequest request;
  bool attach = false;
  int protocol_version = 4;  // 1 to 5
};

// Streams that the job has no use for are null.
struct CommandChannels {
  std::shared_ptr<ClientStream> in, out, err, error, resize;
};

class RemoteCommandUser final : public SessionUser,
                                public std::enable_shared_from_this<RemoteCommandUser> {
 public:
  RemoteCommandUser(ServerContext& context, std::shared_ptr<Session> session, CommandJob job);

  // SPDY: streams will come through OnStream. They must be there in time.
  void Await();
  // WebSocket: all are there.
  void Begin(CommandChannels channels);

  bool OnStream(std::shared_ptr<ClientStream> stream, const SpdyHeaders& headers) override;
  void OnClosed(const absl::Status& why) override;

 private:
  using Started = absl::StatusOr<std::unique_ptr<RemoteCommand>>;

  bool Complete() const;
  void Prepare();
  void StartCommand();
  void OnStarted(Started command);
  void ConnectStreams(CommandStreams streams);
  void ConnectInput(std::shared_ptr<FdWatch> to, bool terminal);
  std::shared_ptr<FdPump> Connect(std::shared_ptr<FdWatch> from, std::shared_ptr<ClientStream> to);
  void OnResizeData(std::string_view data);
  void Resize();
  void OnCommandEnded();
  void MaybeFinish();
  void Finish(const absl::StatusOr<int>& outcome);
  void LetGo();  // of everything that the backend gave

  ServerContext& context_;
  std::shared_ptr<Session> session_;  // null after the end
  CommandJob job_;
  const std::shared_ptr<std::atomic<bool>> gone_ = std::make_shared<std::atomic<bool>>(false);
  CommandChannels channels_;
  Alarm alarm_;
  bool begun_ = false;  // all streams are there
  bool awaits_size_ = false;
  bool terminal_ = false;

  std::shared_ptr<RemoteCommand> command_;
  std::unique_ptr<FdWatch> ended_;
  std::shared_ptr<FdPump> out_, err_;
  std::shared_ptr<FdWriter> in_;
  std::optional<absl::StatusOr<int>> outcome_;

  TerminalSizeReader sizes_;
  std::optional<TerminalSize> wanted_size_;
  bool resizing_ = false;
};

}  // namespace crisp::stream
