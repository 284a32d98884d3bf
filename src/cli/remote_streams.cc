#include "cli/remote_streams.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/web_socket.h"
#include "kernel/terminal.h"

namespace crisp {
namespace {

// Kubernetes: the channels of *.channel.k8s.io.
enum Channel { kStdin = 0, kStdout = 1, kStderr = 2, kError = 3, kResize = 4, kClose = 255 };
constexpr char kCommandProtocol[] = "v5.channel.k8s.io";
constexpr char kPortProtocol[] = "v4.channel.k8s.io";
constexpr size_t kInputBytes = 32 << 10;
// For what is still under way when the client of a forwarded port has closed its half: the protocol
// cannot tell the pod of it.
constexpr absl::Duration kHalfOpenPatience = absl::Seconds(1);

// Reads a descriptor of any kind on a thread of its own and sends what comes, one piece at a time.
class InputPump {
 public:
  InputPump(WebSocket& socket, int fd)
      : socket_(socket),
        fd_(fd),
        stop_(eventfd(0, EFD_CLOEXEC)),
        sent_(eventfd(0, EFD_CLOEXEC)),
        thread_([this] { Pump(); }) {}
  ~InputPump() {
    eventfd_write(stop_.get(), 1);
    thread_.join();
  }

 private:
  // False when it is to stop.
  bool AwaitInput(int fd) {
    std::array<struct pollfd, 2> fds = {{{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    while (poll(fds.data(), fds.size(), -1) < 0) {
    }
    return fds[1].revents == 0;
  }

  void Pump() {
    std::array<char, kInputBytes> bytes;
    while (AwaitInput(fd_)) {
      const ssize_t count = read(fd_, bytes.data(), bytes.size());
      if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      socket_.Post([this, text = std::string(bytes.data(), count > 0 ? count : 0)] {
        if (text.empty()) return socket_.Send(kClose, std::string(1, kStdin));
        socket_.Send(kStdin, text, [this] { eventfd_write(sent_.get(), 1); });
      });
      eventfd_t sent = 0;
      if (count <= 0 || !AwaitInput(sent_.get()) || eventfd_read(sent_.get(), &sent) != 0) return;
    }
  }

  WebSocket& socket_;
  const int fd_;
  const UniqueFd stop_;
  const UniqueFd sent_;
  std::thread thread_;
};

void SendSize(WebSocket& socket) {
  const absl::StatusOr<TerminalSize> size = GetTerminalSize(STDIN_FILENO);
  if (!size.ok() || size->columns == 0 || size->rows == 0) return;
  socket.Send(kResize, JsonText({{"Width", size->columns}, {"Height", size->rows}}));
}

// What one message of the server means for this program.
class CommandSession {
 public:
  explicit CommandSession(WebSocket& socket) : socket_(socket) {}

  void Message(int channel, std::string_view bytes, const std::function<void()>& next) {
    if (channel == kError) {
      status_ += bytes;
    } else if (channel == kStdout || channel == kStderr) {
      const bool out = channel == kStdout;
      const absl::Status written = WriteAll(out ? STDOUT_FILENO : STDERR_FILENO, bytes,
                                            out ? "standard output" : "standard error");
      if (!written.ok()) return socket_.Stop(written);
    }
    next();
  }

  void Signal(int number) {
    if (number == SIGWINCH) return SendSize(socket_);
    signal_ = number;
    socket_.Stop(absl::OkStatus());
  }

  absl::StatusOr<int> Result() const {
    if (signal_ != 0) return 128 + signal_;
    if (!status_.empty()) return ExitCodeIn(status_);
    return absl::UnavailableError("the connection ended before the command did");
  }

 private:
  WebSocket& socket_;
  std::string status_;
  int signal_ = 0;
};

}  // namespace

absl::StatusOr<int> ExitCodeIn(std::string_view text) {
  ASSIGN_OR_RETURN(const Json status, ParseJson(text, "the end of the session"));
  if (!status.is_object()) return absl::InternalError(Cat("the session ended with ", text));
  if (JsonString(status, "status") == "Success") return 0;
  const Json* details = JsonMember(status, "details");
  const Json* causes = details == nullptr ? nullptr : JsonMember(*details, "causes");
  if (causes != nullptr && causes->is_array()) {
    for (const Json& cause : *causes) {
      if (!cause.is_object() || JsonString(cause, "reason") != "ExitCode") continue;
      const std::string code = JsonString(cause, "message");
      int number = 0;
      if (std::from_chars(code.data(), code.data() + code.size(), number).ec == std::errc()) {
        return number;
      }
    }
  }
  return absl::InternalError(JsonString(status, "message", text));
}

absl::StatusOr<StreamAddress> AskAddress(Client& client, const std::string& url) {
  if (!url.starts_with("https://")) return StreamAddress{url, ""};
  cri::StatusRequest request;
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto answer, client.Call(request));
  const auto config = answer.info().find("config");
  std::string certificate;
  if (config != answer.info().end()) {
    ASSIGN_OR_RETURN(const Json facts, ParseJson(config->second, "the daemon's status"));
    certificate = JsonString(facts, "streamingCertificate");
  }
  if (!certificate.empty()) return StreamAddress{url, certificate};
  return absl::FailedPreconditionError(
      Cat("the daemon does not say which certificate its streaming server shows at ", url));
}

absl::StatusOr<int> RunRemote(const StreamAddress& address, const StreamFlags& streams) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WebSocket> socket,
                   WebSocket::Connect(address.url, address.certificate, kCommandProtocol));
  CommandSession session(*socket);
  signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGTERM, SIGHUP, SIGINT, SIGQUIT}) socket->CatchSignal(number);
  std::optional<RawMode> raw;
  if (streams.terminal) {
    socket->CatchSignal(SIGWINCH);
    SendSize(*socket);
    if (absl::StatusOr<RawMode> entered = RawMode::Enter(STDIN_FILENO); entered.ok()) {
      raw.emplace(*std::move(entered));
    }
  }
  absl::Status status;
  {
    std::optional<InputPump> input;
    if (streams.in) input.emplace(*socket, STDIN_FILENO);
    status = socket->Run(
        {.message = [&](int channel, std::string_view bytes,
                        std::function<void()> next) { session.Message(channel, bytes, next); },
         .signal = [&](int number) { session.Signal(number); }});
  }
  RETURN_IF_ERROR(status);
  return session.Result();
}

namespace {

// One connection: channel 0 is its data, channel 1 says why it failed; each begins with the port.
class PortSession {
 public:
  explicit PortSession(WebSocket& socket) : socket_(socket) {}

  void ReadLocal() {
    socket_.ReadPeer([this](std::string_view bytes) {
      if (!bytes.empty()) return socket_.Send(0, bytes, [this] { ReadLocal(); });
      local_ended_ = true;
      AwaitRest();
    });
  }

  void Message(int channel, std::string_view bytes, std::function<void()> next) {
    if (channel < 0 || channel > 1 || !greeted_[channel]) {
      if (channel == 0 || channel == 1) greeted_[channel] = true;
      return next();
    }
    if (channel == 1) {
      return socket_.Stop(absl::UnavailableError(ToAbsl(bytes)));
    }
    if (local_ended_) AwaitRest();
    socket_.WritePeer(bytes, [this, next = std::move(next)](bool good) {
      if (!good) return socket_.Stop(absl::OkStatus());
      next();
    });
  }

 private:
  void AwaitRest() {
    socket_.After(kHalfOpenPatience, [this] { socket_.Stop(absl::OkStatus()); });
  }

  WebSocket& socket_;
  std::array<bool, 2> greeted_ = {false, false};
  bool local_ended_ = false;
};

}  // namespace

absl::Status ForwardSocket(const StreamAddress& address, UniqueFd local) {
  ASSIGN_OR_RETURN(const std::unique_ptr<WebSocket> socket,
                   WebSocket::Connect(address.url, address.certificate, kPortProtocol));
  PortSession session(*socket);
  socket->AddPeer(std::move(local));
  session.ReadLocal();
  return socket->Run(
      {.message = [&](int channel, std::string_view bytes, std::function<void()> next) {
        session.Message(channel, bytes, std::move(next));
      }});
}

}  // namespace crisp
