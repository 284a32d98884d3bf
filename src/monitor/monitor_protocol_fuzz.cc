// Fuzzes the monitor from its socket on: packets of any bytes, and well-formed requests with any
// content, go through a real connection to a real PodMonitor, whose launcher starts no process. The
// input is a sequence of packets, each behind two bytes of length (little-endian).
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/text.h"
#include "kernel/packet_socket.h"
#include "launch/outcome_channel.h"
#include "monitor/control_server.h"
#include "monitor/pod_monitor.h"

namespace crisp {
namespace {

// Every launch succeeds or fails at once, as the container's id says, and is no process.
class EmptyLauncher : public Launcher {
 public:
  absl::StatusOr<Launch> Start(const StartRequest& request) override {
    return LaunchNothing(request.container_id.size() % 2 == 0);
  }
  absl::StatusOr<Launch> Exec(const ExecRequest& request) override {
    if (request.exec_id == "refused") return absl::InternalError("refused");
    return LaunchNothing(request.exec_id.size() % 2 == 0);
  }

 private:
  static absl::StatusOr<Launch> LaunchNothing(bool fails) {
    auto ends = PacketSocketPair();
    if (!ends.ok()) return ends.status();
    OutcomeChannel channel(std::move(ends->second));
    if (fails) {
      channel.SendFailure(absl::NotFoundError("no program"));
    } else if (const absl::Status status = channel.SendReady(); !status.ok()) {
      return status;
    }
    Launch launch;
    launch.pid = -1;
    launch.outcome = std::move(ends->first);
    return launch;
  }
};

const std::string& Folder() {
  static const std::string* const folder = [] {
    char name[] = "/tmp/monitor_protocol_fuzz.XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    std::atexit([] { [[maybe_unused]] const absl::Status removed = RemoveTree(Folder()); });
    return new std::string(name);
  }();
  return *folder;
}

// Paths in a request would be written to: they are moved into a folder of the fuzzer's own.
std::string Harmless(std::string_view packet) {
  monitor::Request request;
  if (!request.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
      (!request.has_start() && !request.has_restore())) {
    return std::string(packet);
  }
  if (request.has_restore() && request.restore().work().starts_with('/')) {
    request.mutable_restore()->set_work(Folder());
  }
  monitor::StartContainer& start = request.has_restore()
                                       ? *request.mutable_restore()->mutable_start()
                                       : *request.mutable_start();
  if (start.bundle().starts_with('/')) start.set_bundle(Folder());
  if (start.log_path().starts_with('/')) start.set_log_path(Folder() + "/log");
  return request.SerializeAsString();
}

struct Descriptors {
  std::vector<UniqueFd> sent;  // with the packet
  std::vector<UniqueFd> kept;  // the other ends of pipes
};

// The pipes that an Attach names, one of them with something in it; for anything else no pipe.
Descriptors PipesFor(std::string_view packet) {
  Descriptors descriptors;
  monitor::Request request;
  if (!request.ParseFromArray(packet.data(), static_cast<int>(packet.size())) ||
      !request.has_attach()) {
    descriptors.sent.emplace_back(dup(STDIN_FILENO));
    return descriptors;
  }
  const monitor::Attach& attach = request.attach();
  for (const auto& [in, named] :
       {std::pair{true, attach.has_stdin()}, std::pair{false, attach.has_stdout()},
        std::pair{false, attach.has_stderr()}}) {
    if (!named) continue;
    int ends[2];
    if (pipe(ends) != 0) break;
    if (in && write(ends[1], packet.data(), packet.size()) < 0) std::abort();
    descriptors.sent.emplace_back(ends[in ? 0 : 1]);
    descriptors.kept.emplace_back(ends[in ? 1 : 0]);
  }
  return descriptors;
}

void Run(std::string_view input) {
  signal(SIGPIPE, SIG_IGN);
  auto loop = *EventLoop::Create();
  auto reaper = *Reaper::Create(*loop);
  auto buffer = *ReadBuffer::Create(*loop);
  EmptyLauncher launcher;
  ControlServer* server = nullptr;
  PodMonitor pod(
      {*loop, launcher, *reaper, *buffer, nullptr}, {"pod", 0},
      {.reply = [&server](uint64_t connection, const monitor::Reply& reply,
                          UniqueFd fd) { server->Reply(connection, reply, std::move(fd)); },
       .event = [&server](const monitor::Packet& event) { server->Broadcast(event); },
       .ended = [] {}});
  ControlServer control(
      *loop,
      {.request =
           [&pod](uint64_t connection, const monitor::Request& request, std::vector<UniqueFd> fds) {
             pod.Handle(connection, request, std::move(fds));
           },
       .closed = [&pod](uint64_t connection) { pod.ConnectionClosed(connection); }});
  server = &control;

  UniqueFd client;
  std::vector<UniqueFd> kept;
  int served = 0;
  while (input.size() >= 2 && served++ < 64) {
    if (control.connections() == 0) {
      auto ends = PacketSocketPair();
      if (!ends.ok() || !control.Adopt(std::move(ends->second)).ok()) return;
      client = std::move(ends->first);
    }
    size_t length = static_cast<uint8_t>(input[0]) | static_cast<uint8_t>(input[1]) << 8;
    input.remove_prefix(2);
    length = std::min(length, input.size());
    const std::string packet = Harmless(input.substr(0, length));
    input.remove_prefix(length);
    // Every other packet brings descriptors along; those of an Attach end with the next one.
    std::vector<int> numbers;
    if (served % 2 == 1) {
      Descriptors descriptors = PipesFor(packet);
      for (const UniqueFd& fd : descriptors.sent) numbers.push_back(fd.get());
      kept = std::move(descriptors.kept);
      if (!SendPacket(client.get(), packet, numbers).ok()) continue;
    } else if (!SendPacket(client.get(), packet).ok()) {
      continue;
    }
    loop->RunOnce(absl::ZeroDuration());
    loop->RunOnce(absl::ZeroDuration());
    while (true) {
      absl::StatusOr<ReceivedPacket> answer = ReceivePacket(client.get());
      if (!answer.ok()) break;
      monitor::Packet parsed;
      if (!parsed.ParseFromString(answer->data)) std::abort();
    }
  }
}

}  // namespace
}  // namespace crisp

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  crisp::Run({reinterpret_cast<const char*>(data), size});
  return 0;
}
