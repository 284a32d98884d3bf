#include "registry/test_server.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>

#include "base/text.h"

namespace crisp {
namespace {

bool ReadMore(int connection, std::string* data) {
  char buffer[4096];
  const ssize_t count = recv(connection, buffer, sizeof buffer, 0);
  if (count <= 0) return false;
  data->append(buffer, count);
  return true;
}

bool ReadRequest(int connection, TestHttpRequest* request) {
  std::string data;
  while (data.find("\r\n\r\n") == std::string::npos) {
    if (data.size() > 65536 || !ReadMore(connection, &data)) return false;
  }
  const size_t end = data.find("\r\n\r\n");
  const std::vector<std::string_view> lines = Split(std::string_view(data).substr(0, end), '\n');
  const std::vector<std::string_view> first = Split(Trim(lines[0]), ' ');
  if (first.size() != 3) return false;
  request->method = first[0];
  request->path = first[1];
  for (size_t i = 1; i < lines.size(); ++i) {
    const size_t colon = lines[i].find(':');
    if (colon == std::string_view::npos) continue;
    std::string name(lines[i].substr(0, colon));
    for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    request->headers[name] = Trim(lines[i].substr(colon + 1));
  }
  const size_t length = request->headers.contains("content-length")
                            ? std::stoul(request->headers["content-length"])
                            : 0;
  while (data.size() < end + 4 + length) {
    if (!ReadMore(connection, &data)) return false;
  }
  request->body = data.substr(end + 4, length);
  return true;
}

}  // namespace

TestHttpServer::TestHttpServer(Handler handler, const std::string& address)
    : handler_(std::move(handler)), host_(address) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in name{};
  name.sin_family = AF_INET;
  inet_pton(AF_INET, address.c_str(), &name.sin_addr);
  bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof name);
  listen(listener_, 64);
  socklen_t size = sizeof name;
  getsockname(listener_, reinterpret_cast<sockaddr*>(&name), &size);
  port_ = ntohs(name.sin_port);
  thread_ = std::thread([this] { Accept(); });
}

TestHttpServer::~TestHttpServer() {
  stop_ = true;
  thread_.join();
  close(listener_);
}

std::string TestHttpServer::address() const { return Cat(host_, ":", port_); }

std::vector<TestHttpRequest> TestHttpServer::Requests() const {
  absl::MutexLock lock(&mutex_);
  return requests_;
}

std::string TestHttpServer::Answer(int status, const std::string& body,
                                   const std::vector<std::string>& headers) {
  std::string answer =
      Cat("HTTP/1.1 ", status, " X\r\nContent-Length: ", body.size(), "\r\nConnection: close\r\n");
  for (const std::string& header : headers) answer += header + "\r\n";
  return answer + "\r\n" + body;
}

void TestHttpServer::Accept() {
  std::vector<std::thread> connections;
  while (!stop_) {
    pollfd ready{listener_, POLLIN, 0};
    if (poll(&ready, 1, 20) <= 0) continue;
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) connections.emplace_back([this, connection] { Serve(connection); });
  }
  for (std::thread& connection : connections) connection.join();
}

void TestHttpServer::Serve(int connection) {
  TestHttpRequest request;
  if (ReadRequest(connection, &request)) {
    {
      absl::MutexLock lock(&mutex_);
      requests_.push_back(request);
    }
    const std::string answer = handler_(request);
    std::string_view rest = answer;
    while (!rest.empty()) {
      const ssize_t count = send(connection, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count <= 0) break;
      rest.remove_prefix(count);
    }
    shutdown(connection, SHUT_WR);
    char drop[4096];
    while (recv(connection, drop, sizeof drop, 0) > 0) {
    }
  }
  close(connection);
}

}  // namespace crisp
