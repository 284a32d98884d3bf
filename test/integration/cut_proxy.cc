#include "test/integration/cut_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

constexpr int kLook = 20;  // ms between looks whether the test is over

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool SendAll(int to, std::string_view data) {
  while (!data.empty()) {
    const ssize_t count = send(to, data.data(), data.size(), MSG_NOSIGNAL);
    if (count <= 0) return false;
    data.remove_prefix(count);
  }
  return true;
}

}  // namespace

CutProxy::CutProxy(const std::string& target)
    : target_port_(std::stoi(target.substr(target.rfind(':') + 1))) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof address;
  bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
  listen(listener_, 64);
  getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { Accept(); });
}

CutProxy::~CutProxy() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

std::string CutProxy::address() const { return Cat("127.0.0.1:", port_); }

void CutProxy::Arm(int64_t bytes, std::function<void()> cut) {
  absl::MutexLock lock(&mutex_);
  passed_ = 0;
  limit_ = bytes;
  cut_ = std::move(cut);
}

int64_t CutProxy::passed() const {
  absl::MutexLock lock(&mutex_);
  return passed_;
}

void CutProxy::Accept() {
  std::vector<std::thread> connections;
  while (!stop_) {
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, kLook) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client >= 0) connections.emplace_back([this, client] { Serve(client); });
  }
  for (std::thread& connection : connections) connection.join();
}

void CutProxy::Serve(int client_fd) {
  const UniqueFd client(client_fd);
  const UniqueFd target(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(target_port_);
  if (connect(target.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return;
  while (!stop_) {
    pollfd ready[] = {{client.get(), POLLIN, 0}, {target.get(), POLLIN, 0}};
    if (poll(ready, 2, kLook) <= 0) continue;
    if (ready[0].revents != 0) {
      char buffer[16384];
      const ssize_t count = recv(client.get(), buffer, sizeof buffer, 0);
      if (count <= 0 || !SendAll(target.get(), {buffer, static_cast<size_t>(count)})) return;
    }
    if (ready[1].revents != 0 && !PassOn(target.get(), client.get())) return;
  }
}

bool CutProxy::PassOn(int target, int client) {
  char buffer[16384];
  const ssize_t count = recv(target, buffer, sizeof buffer, 0);
  if (count <= 0) return false;
  std::string_view data(buffer, count);
  // One connection at a time from here: what has been passed on is exact, and so is the cut.
  absl::MutexLock lock(&mutex_);
  const bool cut_here = cut_ != nullptr && passed_ + count >= limit_;
  const size_t before =
      cut_here ? static_cast<size_t>(std::max<int64_t>(0, limit_ - passed_)) : data.size();
  passed_ += count;
  if (!SendAll(client, data.substr(0, before))) return false;
  if (!cut_here) return true;
  std::exchange(cut_, nullptr)();
  return SendAll(client, data.substr(before));
}

}  // namespace crisp
