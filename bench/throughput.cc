#include "bench/throughput.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "absl/time/clock.h"
#include "base/status.h"
#include "bench/stream_client.h"

namespace crisp {
namespace {

namespace v1 = runtime::v1;
using Protocol = StreamClient::Protocol;

constexpr int kPort = 8080;
constexpr absl::Duration kLook = absl::Milliseconds(50);
constexpr int kTurns = 3;

// Looks at the daemon's memory until it goes.
class MemoryWatch {
 public:
  explicit MemoryWatch(pid_t pid) : pid_(pid), before_(Now()), most_(before_) {
    thread_ = std::thread([this] {
      while (!stop_) {
        most_ = std::max(most_.load(), Now());
        absl::SleepFor(kLook);
      }
    });
  }
  ~MemoryWatch() {
    stop_ = true;
    thread_.join();
  }
  int64_t growth_kib() const { return most_ - before_; }

 private:
  int64_t Now() const {
    const auto use = MemoryOf(pid_);
    return use.ok() ? use->pss_kib : 0;
  }

  const pid_t pid_;
  const int64_t before_;
  std::atomic<int64_t> most_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class Streams {
 public:
  Streams(Target& target, const Target::Pod& pod, size_t bytes)
      : target_(target), pod_(pod), bytes_(bytes) {}

  absl::Status ExecOut(Protocol protocol) {
    ASSIGN_OR_RETURN(const std::string url, ExecUrl({kPeer, "source", Cat(bytes_)}, false));
    ASSIGN_OR_RETURN(const auto client, StreamClient::Exec(url, protocol, false));
    return client->DropBytes(bytes_);
  }
  absl::Status ExecIn(Protocol protocol) {
    ASSIGN_OR_RETURN(const std::string url, ExecUrl({kPeer, "sink"}, true));
    ASSIGN_OR_RETURN(const auto client, StreamClient::Exec(url, protocol, true));
    RETURN_IF_ERROR(client->SendMuch(bytes_));
    RETURN_IF_ERROR(client->EndInput());
    return client->AwaitText("done");
  }
  absl::Status PortOut(Protocol protocol) {
    ASSIGN_OR_RETURN(const auto client, Forward(protocol));
    RETURN_IF_ERROR(client->Send(Cat("get ", bytes_, "\n")));
    return client->DropBytes(bytes_);
  }
  absl::Status PortIn(Protocol protocol) {
    ASSIGN_OR_RETURN(const auto client, Forward(protocol));
    RETURN_IF_ERROR(client->Send(Cat("put ", bytes_, "\n")));
    RETURN_IF_ERROR(client->SendMuch(bytes_));
    return client->AwaitText("done");
  }

 private:
  absl::StatusOr<std::string> ExecUrl(const std::vector<std::string>& command, bool input) {
    v1::ExecRequest request;
    request.set_container_id(pod_.container);
    request.mutable_cmd()->Add(command.begin(), command.end());
    request.set_stdin(input);
    request.set_stdout(true);
    ASSIGN_OR_RETURN(const auto answer,
                     target_.client().Call(&CriClient::RuntimeStub::Exec, request));
    return answer.url();
  }
  absl::StatusOr<std::unique_ptr<StreamClient>> Forward(Protocol protocol) {
    v1::PortForwardRequest request;
    request.set_pod_sandbox_id(pod_.id);
    request.add_port(kPort);
    ASSIGN_OR_RETURN(const auto answer,
                     target_.client().Call(&CriClient::RuntimeStub::PortForward, request));
    return StreamClient::PortForward(answer.url(), protocol, kPort);
  }

  Target& target_;
  const Target::Pod& pod_;
  const size_t bytes_;
};

// The best of some turns: what disturbs makes it slower, nothing makes it faster.
nlohmann::json Best(Target& target, size_t bytes, const std::function<absl::Status()>& run) {
  double best = 0;
  int64_t growth = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const MemoryWatch memory(target.daemon());
    absl::Status status;
    const absl::Duration took = Timed([&] { status = run(); });
    if (!status.ok()) return {{"error", std::string(FromAbsl(status.message()))}};
    best = std::max(best, static_cast<double>(bytes) / 1e6 / absl::ToDoubleSeconds(took));
    growth = std::max(growth, memory.growth_kib());
  }
  return {{"mb_per_second", best}, {"daemon_growth_kib", growth}};
}

}  // namespace

absl::Status MeasureStreams(Target& target, size_t bytes) {
  ASSIGN_OR_RETURN(const Target::Pod pod, target.StartPod({kPeer, "serve", Cat(kPort)}));
  Streams streams(target, pod, bytes);
  nlohmann::json& facts = target.facts()["streams"];
  for (const Protocol protocol : {Protocol::kSpdy, Protocol::kWebSocket}) {
    const char* name = protocol == Protocol::kSpdy ? "SPDY" : "WebSocket";
    const auto measure = [&](const char* what, auto run) {
      facts[Cat(what, ", ", name)] = Best(target, bytes, [&] { return (streams.*run)(protocol); });
    };
    measure("exec output", &Streams::ExecOut);
    measure("exec input", &Streams::ExecIn);
    measure("port-forward from the pod", &Streams::PortOut);
    measure("port-forward to the pod", &Streams::PortIn);
  }
  return target.RemovePod(pod);
}

}  // namespace crisp
