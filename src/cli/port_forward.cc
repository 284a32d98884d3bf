// crisp port-forward: ports of this machine's loopback that lead into a pod, one WebSocket a
// connection. Ends by a signal.
#include "cli/port_forward.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <charconv>
#include <memory>
#include <optional>
#include <thread>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/remote_streams.h"
#include "cli/session.h"

namespace crisp {
namespace {

constexpr int kMaxConnections = 256;
constexpr int kBusyMillis = 100;

struct PortForwardOptions {
  std::string pod;
  std::vector<std::string> ports;
  std::vector<Forward> forwards;
};

struct Listener {
  UniqueFd socket;
  Forward forward;
};

std::optional<uint16_t> Port(std::string_view text, int least) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (number < least || number > UINT16_MAX) return std::nullopt;
  return static_cast<uint16_t>(number);
}

absl::StatusOr<Listener> Listen(Forward forward) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("opening a socket");
  const int on = 1;
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(forward.local);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(fd.get(), generic, size) != 0 || listen(fd.get(), SOMAXCONN) != 0 ||
      getsockname(fd.get(), generic, &size) != 0) {
    return ErrnoStatus("listening at 127.0.0.1:", forward.local, " (\":", forward.remote,
                       "\" takes a free port)");
  }
  forward.local = ntohs(address.sin_port);
  return Listener{std::move(fd), forward};
}

// How many connections are open; the threads share it, as they may outlive the command.
using OpenCount = std::shared_ptr<std::atomic<int>>;

void Serve(const StreamAddress& address, UniqueFd local, uint16_t port, const OpenCount& open) {
  const absl::Status status = ForwardSocket(address, std::move(local));
  if (!status.ok()) {
    std::fprintf(stderr, "crisp: port %d: %s\n", port,
                 std::string(FromAbsl(status.message())).c_str());
  }
  --*open;
}

absl::StatusOr<StreamAddress> AskForPort(Client& client, const std::string& pod, uint16_t port) {
  cri::PortForwardRequest request;
  request.set_pod_sandbox_id(pod);
  request.add_port(port);
  ASSIGN_OR_RETURN(const auto answer, client.Call(request));
  return AskAddress(client, answer.url());
}

// An error is that of one connection, told to the user; the others go on.
void Accept(Session& session, const std::string& pod, const Listener& listener,
            const OpenCount& open) {
  UniqueFd local(accept4(listener.socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!local.valid()) return;
  const uint16_t port = listener.forward.remote;
  const absl::StatusOr<StreamAddress> address = AskForPort(session.client(), pod, port);
  if (!address.ok()) {
    std::fprintf(stderr, "crisp: %s\n", std::string(FromAbsl(address.status().message())).c_str());
    return;
  }
  ++*open;
  std::thread(Serve, *address, std::move(local), port, open).detach();
}

absl::Status PortForward(Session& session, const PortForwardOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  ASSIGN_OR_RETURN(const Named named, FindNamed(inventory, options.pod));
  const std::string pod =
      named.pod != nullptr ? named.pod->id() : named.container->pod_sandbox_id();
  std::vector<Listener> listeners;
  std::vector<struct pollfd> fds;
  for (const Forward& forward : options.forwards) {
    ASSIGN_OR_RETURN(Listener listener, Listen(forward));
    fds.push_back({listener.socket.get(), POLLIN, 0});
    listeners.push_back(std::move(listener));
  }
  for (const Listener& listener : listeners) {
    Print(Cat("127.0.0.1:", listener.forward.local, " leads to port ", listener.forward.remote,
              "\n"));
  }
  std::fflush(stdout);
  const OpenCount open = std::make_shared<std::atomic<int>>(0);
  while (true) {
    if (*open >= kMaxConnections) {
      (void)poll(nullptr, 0, kBusyMillis);  // more wait in the kernel's backlog
      continue;
    }
    (void)poll(fds.data(), fds.size(), -1);
    for (size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents != 0) Accept(session, pod, listeners[i], open);
    }
  }
}

}  // namespace

absl::StatusOr<Forward> ParseForward(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view right = colon == std::string_view::npos ? text : text.substr(colon + 1);
  const std::optional<uint16_t> remote = Port(right, 1);
  std::optional<uint16_t> local = remote;
  if (colon != std::string_view::npos) local = colon == 0 ? 0 : Port(text.substr(0, colon), 0);
  if (!remote.has_value() || !local.has_value()) {
    return absl::InvalidArgumentError(
        Cat("port \"", text, "\" should be [LOCAL:]REMOTE, as in 8080:80 or 80"));
  }
  return Forward{*local, *remote};
}

void AddPortForward(CLI::App& app, Session& session) {
  auto options = std::make_shared<PortForwardOptions>();
  CLI::App* command =
      AddCommand(app, session, "port-forward",
                 "Let ports of 127.0.0.1 lead to ports of a pod until crisp is interrupted");
  command->add_option("pod", options->pod, "id or name of a pod")->required();
  command->add_option("ports", options->ports, "[LOCAL:]REMOTE")
      ->required()
      ->expected(1, 64)
      ->type_name("PORTS");
  command->callback([&session, options] {
    for (const std::string& text : options->ports) {
      const absl::StatusOr<Forward> forward = ParseForward(text);
      if (!forward.ok())
        throw CLI::ValidationError(std::string(FromAbsl(forward.status().message())));
      options->forwards.push_back(*forward);
    }
    session.Finish(PortForward(session, *options));
  });
}

}  // namespace crisp
