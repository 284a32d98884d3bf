#include "monitor/attach_fanout.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxClients = 64;
// Read from a client at a time, and so what waits at most for a container that does not read.
constexpr size_t kInputBytes = 16 << 10;
// Of each stream; fits into a client's pipe, which is empty then.
constexpr size_t kEarlyBytes = 16 << 10;

absl::Status MakeNonBlocking(const UniqueFd& fd) {
  if (!fd.valid()) return absl::OkStatus();
  const int flags = fcntl(fd.get(), F_GETFL);
  if (flags < 0 || fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) return ErrnoStatus("fcntl");
  return absl::OkStatus();
}

// Asked again, as the event may be meant for an earlier descriptor of the same number.
bool NobodyReads(int pipe) {
  struct pollfd end = {pipe, 0, 0};
  return poll(&end, 1, 0) > 0 && (end.revents & POLLERR) != 0;
}

}  // namespace

AttachFanout::~AttachFanout() {
  for (const auto& [id, client] : clients_) {
    for (const UniqueFd* fd : {&client->in, &client->out, &client->err}) {
      if (fd->valid()) loop_.Remove(fd->get());
    }
  }
}

void AttachFanout::SetInput(UniqueFd end) {
  input_.emplace(loop_, std::move(end), [this] { InputChanged(); });
}

absl::Status AttachFanout::Add(Client client) {
  if (clients_.contains(client.id)) {
    return absl::AlreadyExistsError(Cat("there is an attachment ", client.id, " already"));
  }
  if (clients_.size() >= kMaxClients) {
    return absl::ResourceExhaustedError(
        Cat("it has ", kMaxClients, " attachments already; end one of them first"));
  }
  for (const UniqueFd* fd : {&client.in, &client.out, &client.err}) {
    RETURN_IF_ERROR(MakeNonBlocking(*fd));
  }
  if (!input_.has_value() || input_->closed()) client.in.reset();
  if (!client.in.valid() && !client.out.valid() && !client.err.valid()) {
    return absl::FailedPreconditionError("its input is closed, and nothing else was asked for");
  }
  std::string id = client.id;
  Client& added =
      *clients_.emplace(std::move(id), std::make_unique<Client>(std::move(client))).first->second;
  if (const absl::Status status = Watch(added); !status.ok()) {
    added.ended = nullptr;
    Drop(added, "");
    return status;
  }
  if (early_ != nullptr && (added.out.valid() || added.err.valid())) {
    const std::unique_ptr<Early> early = std::move(early_);
    const std::string key = added.id;
    WriteTo(added, Stream::kOut, early->out);
    if (clients_.contains(key)) WriteTo(added, Stream::kErr, early->err);
  }
  return absl::OkStatus();
}

absl::Status AttachFanout::Watch(Client& client) {
  for (UniqueFd* fd : {&client.out, &client.err}) {
    if (!fd->valid()) continue;
    // No event is asked for: EPOLLERR, which tells that nobody reads any more, comes all the same.
    RETURN_IF_ERROR(loop_.Add(fd->get(), 0, [this, &client, fd](uint32_t) {
      if (NobodyReads(fd->get())) CloseOne(client, *fd);
    }));
  }
  if (!input_.has_value() || input_->full()) return absl::OkStatus();
  return WatchInput(client);
}

absl::Status AttachFanout::WatchInput(Client& client) {
  if (!client.in.valid()) return absl::OkStatus();
  return loop_.Add(client.in.get(), EPOLLIN, [this, &client](uint32_t) { ReadInput(client); });
}

void AttachFanout::Write(Stream stream, std::string_view bytes) {
  if (early_ != nullptr) Keep(stream, bytes);
  for (auto next = clients_.begin(); next != clients_.end();) {
    Client& client = *(next++)->second;
    WriteTo(client, stream, bytes);
  }
}

void AttachFanout::Keep(Stream stream, std::string_view bytes) {
  std::string& kept = stream == Stream::kOut ? early_->out : early_->err;
  if (bytes.size() > kEarlyBytes) bytes.remove_prefix(bytes.size() - kEarlyBytes);
  kept.append(bytes);
  if (kept.size() > kEarlyBytes) kept.erase(0, kept.size() - kEarlyBytes);
}

void AttachFanout::WriteTo(Client& client, Stream stream, std::string_view bytes) {
  UniqueFd& fd = stream == Stream::kOut ? client.out : client.err;
  while (fd.valid() && !bytes.empty()) {
    const ssize_t count = write(fd.get(), bytes.data(), bytes.size());
    if (count >= 0) {
      bytes.remove_prefix(count);
    } else if (errno == EAGAIN) {
      return Drop(client, "the attached client reads more slowly than the container writes");
    } else if (errno != EINTR) {
      return CloseOne(client, fd);
    }
  }
}

void AttachFanout::ReadInput(Client& client) {
  const std::span<char> bytes = buffer_.Bytes().first(kInputBytes);
  const ssize_t count = read(client.in.get(), bytes.data(), bytes.size());
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (count <= 0) {
    // What it wrote before has reached the container: nothing is read while something waits.
    if (!input_once_) return CloseOne(client, client.in);
    input_->Close();
    return CloseAllInput();
  }
  buffer_.Used(count);
  input_->Write({bytes.data(), static_cast<size_t>(count)});
  if (input_->closed()) return CloseAllInput();
  if (input_->full()) PauseInput();
}

// Not only without EPOLLIN: of a pipe whose writer has gone, epoll would tell again and again.
void AttachFanout::PauseInput() {
  for (const auto& [id, client] : clients_) {
    if (client->in.valid()) loop_.Remove(client->in.get());
  }
}

void AttachFanout::InputChanged() {
  if (input_->closed()) return CloseAllInput();
  for (auto next = clients_.begin(); next != clients_.end();) {
    Client& client = *(next++)->second;
    if (const absl::Status status = WatchInput(client); !status.ok()) {
      Drop(client, FromAbsl(status.message()));
    }
  }
}

void AttachFanout::CloseAllInput() {
  for (auto next = clients_.begin(); next != clients_.end();) {
    Client& client = *(next++)->second;
    if (client.in.valid()) CloseOne(client, client.in);
  }
}

// A client without any stream is no more.
void AttachFanout::CloseOne(Client& client, UniqueFd& fd) {
  loop_.Remove(fd.get());
  fd.reset();
  if (!client.in.valid() && !client.out.valid() && !client.err.valid()) Drop(client, "");
}

void AttachFanout::Drop(Client& client, std::string_view why) {
  for (UniqueFd* fd : {&client.in, &client.out, &client.err}) {
    if (!fd->valid()) continue;
    loop_.Remove(fd->get());
    fd->reset();
  }
  const auto dropped = clients_.extract(client.id);
  if (dropped.mapped()->ended) dropped.mapped()->ended(why);
}

void AttachFanout::End() {
  if (input_.has_value()) input_->Close();
  while (!clients_.empty()) Drop(*clients_.begin()->second, "");
}

}  // namespace crisp
