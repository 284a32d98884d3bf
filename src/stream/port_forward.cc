#include "stream/port_forward.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp::stream {
namespace {

// The port that a stream asks for, 0 if none that exists.
uint16_t PortOf(const SpdyHeaders& headers) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(ToAbsl(SpdyHeader(headers, "port")), &port) || port > UINT16_MAX) return 0;
  return static_cast<uint16_t>(port);
}

}  // namespace

bool PortForwardUser::OnStream(std::shared_ptr<ClientStream> stream, const SpdyHeaders& headers) {
  const std::string_view type = SpdyHeader(headers, "streamtype");
  const uint16_t port = PortOf(headers);
  if ((type != "error" && type != "data") || port == 0) return false;
  // Clients of old give no id and open the error stream first, then the data stream.
  std::string id(SpdyHeader(headers, "requestid"));
  ++stream_;
  if (id.empty()) id = Cat("stream ", type == "error" ? stream_ : stream_ - 1);
  auto found = pairs_.find(id);
  if (found == pairs_.end()) {
    if (pairs_.size() + connections_.size() >= kMaxConnections) return false;
    found = pairs_.emplace(id, Pair{.port = port}).first;
    ExpectOther(id, found->second);
  }
  Pair& pair = found->second;
  std::shared_ptr<ClientStream>& place = type == "error" ? pair.error : pair.data;
  if (place != nullptr || pair.port != port) return false;
  place = std::move(stream);
  if (pair.data == nullptr || pair.error == nullptr) return true;
  const Pair whole = std::move(pair);
  pairs_.erase(found);
  // Nothing may be sent from here: the connection is begun by the loop's next turn.
  context_.loop.Post([self = shared_from_this(), whole] {
    if (self->session_ != nullptr) self->Connect(whole.port, whole.data, whole.error);
  });
  return true;
}

void PortForwardUser::ExpectOther(const std::string& id, Pair& pair) {
  pair.alarm = std::make_shared<Alarm>(context_.loop);
  pair.alarm->Set(context_.options.creation_timeout, [weak = weak_from_this(), id] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    const auto node = self->pairs_.extract(id);
    if (node.empty() || self->session_ == nullptr) return;
    const Pair& late = node.mapped();
    if (late.error != nullptr) {
      late.error->SendText("the data stream of this connection did not come in time");
      late.error->Finish();
    }
    for (const auto& stream : {late.data, late.error}) {
      if (stream != nullptr) stream->Reset();
    }
  });
}

void PortForwardUser::Begin(std::vector<Channels> channels) {
  channels_ = true;
  for (const Channels& each : channels) {
    const std::string number = {static_cast<char>(each.port & 0xff),
                                static_cast<char>(each.port >> 8)};
    each.data->SendText(number);
    each.error->SendText(number);
  }
  for (const Channels& each : channels) {
    if (session_ != nullptr) Connect(each.port, each.data, each.error);
  }
}

void PortForwardUser::Connect(uint16_t port, std::shared_ptr<ClientStream> data,
                              std::shared_ptr<ClientStream> error) {
  if (!ticket_.ports.empty() && std::ranges::count(ticket_.ports, port) == 0) {
    error->SendText(Cat("port ", port, " is none of those that this port-forward was asked for"));
    error->Finish();
    data->Reset();
    return;
  }
  auto connection = std::make_shared<ForwardedPort>(context_, session_, ticket_.pod_id, port,
                                                    std::move(data), std::move(error));
  connections_.insert(connection);
  connection->OnEnd([weak = weak_from_this(), key = connection.get()] {
    const auto self = weak.lock();
    if (self == nullptr) return;
    std::erase_if(self->connections_, [&](const auto& each) { return each.get() == key; });
    if (!self->channels_ || !self->connections_.empty()) return;
    if (const auto session = std::exchange(self->session_, nullptr)) session->Close();
  });
  connection->Start();
}

void PortForwardUser::OnClosed(const absl::Status& why) {
  LOG_DEBUG("streaming: pod {}: the port-forward ended: {}", ticket_.pod_id, why.ToString());
  session_ = nullptr;
  pairs_.clear();
  const auto connections = std::exchange(connections_, {});
  for (const auto& connection : connections) connection->Close();
}

}  // namespace crisp::stream
