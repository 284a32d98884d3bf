#include "monitor/test_client.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "kernel/packet_socket.h"
#include "monitor/pod_monitor.h"

namespace crisp {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(120);

}  // namespace

bool TestClient::Until(const std::function<bool()>& holds) {
  const absl::Time end = absl::Now() + kPatience;
  Receive();
  while (!holds()) {
    if (absl::Now() > end) return false;
    serve_();
    Receive();
  }
  return true;
}

void TestClient::Receive() {
  while (socket_.valid()) {
    absl::StatusOr<ReceivedPacket> received = ReceivePacket(socket_.get());
    if (absl::IsAborted(received.status())) peer_closed_ = true;
    if (!received.ok()) return;
    monitor::Packet packet;
    if (!packet.ParseFromString(received->data)) continue;
    if (!received->descriptors.empty()) descriptor_ = std::move(received->descriptors[0]);
    if (packet.has_reply()) {
      replies_.push_back(packet.reply());
    } else {
      events_.push_back(std::move(packet));
    }
  }
}

uint64_t TestClient::Send(monitor::Request request, const std::vector<int>& descriptors) {
  request.set_id(next_id_);
  const std::string data = request.SerializeAsString();
  Until([&] { return !absl::IsUnavailable(SendPacket(socket_.get(), data, descriptors)); });
  return next_id_++;
}

monitor::Reply TestClient::Wait(uint64_t id) {
  monitor::Reply reply;
  reply.set_code(static_cast<int>(absl::StatusCode::kDeadlineExceeded));
  Until([&] {
    const auto found = std::find_if(replies_.begin(), replies_.end(),
                                    [id](const monitor::Reply& r) { return r.id() == id; });
    if (found == replies_.end()) return peer_closed_;
    reply = *found;
    replies_.erase(found);
    return true;
  });
  return reply;
}

monitor::Packet TestClient::NextEvent() {
  Until([&] { return !events_.empty(); });
  if (events_.empty()) return {};
  monitor::Packet event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::optional<monitor::ExitRecord> TestClient::WaitForExit(const std::string& container_id) {
  while (true) {
    const monitor::Packet event = NextEvent();
    if (event.content_case() == monitor::Packet::CONTENT_NOT_SET) return std::nullopt;
    if (event.container_exited().exit().container_id() == container_id) {
      return event.container_exited().exit();
    }
  }
}

std::optional<monitor::ExecExited> TestClient::WaitForExec(const std::string& exec_id) {
  while (true) {
    const monitor::Packet event = NextEvent();
    if (event.content_case() == monitor::Packet::CONTENT_NOT_SET) return std::nullopt;
    if (event.exec_exited().exec_id() == exec_id) return event.exec_exited();
  }
}

monitor::Reply TestClient::Hello() {
  monitor::Request request;
  request.mutable_hello()->set_protocol(kMonitorProtocol);
  return Call(std::move(request));
}

}  // namespace crisp
