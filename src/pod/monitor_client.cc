#include "pod/monitor_client.h"

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <optional>

#include "absl/time/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/packet_socket.h"
#include "pod/exit_watcher.h"
#include "pod/pidfd.h"
#include "pod/snapshot.h"

namespace crisp {
namespace {

constexpr int kSendPatienceMillis = 5000;  // for a monitor whose socket is full
constexpr int kPacketsPerRound = 64;       // so that one chatty monitor does not starve the others

bool IsReadable(int fd, int millis) {
  struct pollfd poll_fd = {fd, POLLIN, 0};
  return poll(&poll_fd, 1, millis) > 0;
}

void Reap(int pidfd) {
  siginfo_t info;
  // ECHILD for a monitor that an earlier daemon started: init reaps it.
  (void)waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG);
}

template <typename Event>
absl::StatusOr<std::shared_ptr<EndWatch<Event>>> MakeWatch(const std::string& pod_id) {
  UniqueFd signal(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signal.valid()) return ErrnoStatus("eventfd for a stream of pod ", pod_id);
  return std::make_shared<EndWatch<Event>>(std::move(signal));
}

// The watch of this id, or null.
template <typename Watches>
auto Find(const Watches& watches, const std::string& id) {
  const auto found = watches.find(id);
  return found == watches.end() ? nullptr : found->second;
}

}  // namespace

MonitorClient::MonitorClient(ExitWatcher& watcher, MonitorEvents& events, std::string pod_id,
                             UniqueFd socket, UniqueFd pidfd)
    : watcher_(watcher),
      events_(events),
      pod_id_(std::move(pod_id)),
      socket_(std::move(socket)),
      pidfd_(std::make_shared<UniqueFd>(std::move(pidfd))) {}

std::shared_ptr<MonitorClient> MonitorClient::Open(ExitWatcher& watcher, MonitorEvents& events,
                                                   std::string pod_id, UniqueFd socket,
                                                   UniqueFd pidfd) {
  std::shared_ptr<MonitorClient> client(
      new MonitorClient(watcher, events, std::move(pod_id), std::move(socket), std::move(pidfd)));
  watcher.Post([client] { client->Register(); });
  client->WatchProcess();
  return client;
}

void MonitorClient::Register() {
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
  }
  absl::Status status = watcher_.loop().Add(
      socket_.get(), EPOLLIN, [self = shared_from_this()](uint32_t) { self->Readable(); });
  if (!status.ok()) {
    LOG_ERROR("pod {}: cannot watch its monitor: {}", pod_id_, status.ToString());
    Disconnect(true);
  }
}

// Reaps the monitor when it ends, if it is a child of ours. That it has gone is known by the
// socket, after the last packet.
void MonitorClient::WatchProcess() {
  const std::shared_ptr<UniqueFd> pidfd = Process();
  if (!pidfd->valid()) return;
  watcher_.Post([this, self = shared_from_this(), pidfd] {
    EventLoop& loop = watcher_.loop();
    (void)loop.Add(pidfd->get(), EPOLLIN, [&loop, pidfd](uint32_t) {
      Reap(pidfd->get());
      loop.Remove(pidfd->get());
    });
  });
}

void MonitorClient::set_process(UniqueFd pidfd) {
  {
    absl::MutexLock lock(&mutex_);
    pidfd_ = std::make_shared<UniqueFd>(std::move(pidfd));
  }
  WatchProcess();
}

std::shared_ptr<UniqueFd> MonitorClient::Process() const {
  absl::MutexLock lock(&mutex_);
  return pidfd_;
}

bool MonitorClient::HasProcess() const { return Process()->valid(); }

bool MonitorClient::EndsWithin(absl::Duration limit) const {
  const std::shared_ptr<UniqueFd> pidfd = Process();
  return pidfd->valid() &&
         IsReadable(pidfd->get(), static_cast<int>(absl::ToInt64Milliseconds(limit)));
}

void MonitorClient::Kill() const {
  const std::shared_ptr<UniqueFd> pidfd = Process();
  if (!pidfd->valid()) return;
  (void)pidfd_send_signal(pidfd->get(), SIGKILL, nullptr, 0);
  constexpr int kEndMillis = 2000;  // a monitor in uninterruptible sleep is left to itself
  if (IsReadable(pidfd->get(), kEndMillis)) Reap(pidfd->get());
}

absl::Status MonitorClient::SendWhole(const std::string& data, std::span<const int> descriptors) {
  absl::MutexLock lock(&send_mutex_);
  absl::Status status = SendPacket(socket_.get(), data, descriptors);
  if (!absl::IsUnavailable(status)) return status;
  struct pollfd poll_fd = {socket_.get(), POLLOUT, 0};
  (void)poll(&poll_fd, 1, kSendPatienceMillis);
  return SendPacket(socket_.get(), data, descriptors);
}

void MonitorClient::Send(monitor::Request request, std::span<const int> descriptors,
                         Answered answered) {
  SendFor(
      std::move(request), descriptors,
      [answered = std::move(answered)](Answer answer, UniqueFd) { answered(std::move(answer)); });
}

void MonitorClient::SendFor(monitor::Request request, std::span<const int> descriptors,
                            AnsweredWith answered) {
  uint64_t id = 0;
  {
    absl::MutexLock lock(&mutex_);
    if (!gone_) {
      id = next_id_++;
      pending_[id] = std::move(answered);
    }
  }
  const auto fail = [&](const absl::Status& why) {
    answered(absl::UnavailableError(Cat("the monitor of pod ", pod_id_,
                                        " cannot be reached: ", FromAbsl(why.message()))),
             UniqueFd());
  };
  if (id == 0) return fail(absl::UnavailableError("it has ended"));
  request.set_id(id);
  absl::Status status = SendWhole(request.SerializeAsString(), descriptors);
  if (status.ok()) return;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = pending_.find(id);
    if (found == pending_.end()) return;  // Disconnect() has told it already
    answered = std::move(found->second);
    pending_.erase(found);
  }
  fail(status);
}

MonitorClient::Answer MonitorClient::Ask(monitor::Request request, const Call& call,
                                         std::span<const int> descriptors, UniqueFd* descriptor) {
  struct Waiting {
    absl::Mutex mutex;
    absl::CondVar came;
    std::optional<Answer> answer;
    UniqueFd descriptor;
  };
  auto waiting = std::make_shared<Waiting>();
  SendFor(std::move(request), descriptors, [waiting](Answer answer, UniqueFd fd) {
    absl::MutexLock lock(&waiting->mutex);
    waiting->answer = std::move(answer);
    waiting->descriptor = std::move(fd);
    waiting->came.Signal();
  });
  while (true) {
    {
      absl::MutexLock lock(&waiting->mutex);
      const absl::Time poll = std::min(call.deadline, absl::Now() + kCancelPoll);
      while (!waiting->answer && !waiting->came.WaitWithDeadline(&waiting->mutex, poll)) {
      }
      if (waiting->answer) {
        if (descriptor != nullptr) *descriptor = std::move(waiting->descriptor);
        return *std::move(waiting->answer);
      }
    }
    RETURN_IF_ERROR(call.Check());
  }
}

absl::StatusOr<std::shared_ptr<ExecWatch>> MonitorClient::WatchExec(const std::string& exec_id) {
  ASSIGN_OR_RETURN(auto watch, MakeWatch<monitor::ExecExited>(pod_id_));
  absl::MutexLock lock(&mutex_);
  if (gone_) return absl::UnavailableError(Cat("the monitor of pod ", pod_id_, " has ended"));
  execs_[exec_id] = watch;
  return watch;
}

void MonitorClient::UnwatchExec(const std::string& exec_id) {
  absl::MutexLock lock(&mutex_);
  execs_.erase(exec_id);
}

absl::StatusOr<std::shared_ptr<AttachWatch>> MonitorClient::WatchAttachment(
    const std::string& attach_id) {
  ASSIGN_OR_RETURN(auto watch, MakeWatch<monitor::AttachEnded>(pod_id_));
  absl::MutexLock lock(&mutex_);
  if (gone_) return absl::UnavailableError(Cat("the monitor of pod ", pod_id_, " has ended"));
  attachments_[attach_id] = watch;
  return watch;
}

void MonitorClient::UnwatchAttachment(const std::string& attach_id) {
  absl::MutexLock lock(&mutex_);
  attachments_.erase(attach_id);
}

bool MonitorClient::gone() const {
  absl::MutexLock lock(&mutex_);
  return gone_;
}

bool MonitorClient::AwaitGone(absl::Time until) const {
  absl::MutexLock lock(&mutex_);
  while (!gone_ && !went_.WaitWithDeadline(&mutex_, until)) {
  }
  return gone_;
}

void MonitorClient::Readable() {
  for (int i = 0; i < kPacketsPerRound; ++i) {
    absl::StatusOr<ReceivedPacket> packet = ReceivePacket(socket_.get());
    if (absl::IsUnavailable(packet.status())) return;
    if (!packet.ok()) {
      if (!absl::IsAborted(packet.status())) {
        LOG_ERROR("pod {}: reading from its monitor: {}", pod_id_, packet.status().ToString());
      }
      return Disconnect(true);
    }
    Receive(packet->data,
            packet->descriptors.empty() ? UniqueFd() : std::move(packet->descriptors.front()));
  }
}

void MonitorClient::TakeReply(monitor::Reply reply, UniqueFd descriptor) {
  AnsweredWith answered;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = pending_.find(reply.id());
    if (found == pending_.end()) return;
    answered = std::move(found->second);
    pending_.erase(found);
  }
  if (reply.code() == 0) return answered(std::move(reply), std::move(descriptor));
  answered(absl::Status(static_cast<absl::StatusCode>(reply.code()), reply.message()), UniqueFd());
}

void MonitorClient::Receive(const std::string& data, UniqueFd descriptor) {
  monitor::Packet packet;
  if (!packet.ParseFromString(data)) {
    LOG_ERROR("pod {}: its monitor sent {} bytes that are no packet", pod_id_, data.size());
    return;
  }
  switch (packet.content_case()) {
    case monitor::Packet::kReply:
      return TakeReply(std::move(*packet.mutable_reply()), std::move(descriptor));
    case monitor::Packet::kContainerStarted:
      return events_.ContainerStarted(pod_id_, packet.container_started());
    case monitor::Packet::kContainerExited:
      return events_.ContainerExited(pod_id_, packet.container_exited().exit());
    case monitor::Packet::kExecExited: {
      std::shared_ptr<ExecWatch> watch;
      {
        absl::MutexLock lock(&mutex_);
        watch = Find(execs_, packet.exec_exited().exec_id());
      }
      if (watch != nullptr) watch->Finish(packet.exec_exited());
      return;
    }
    case monitor::Packet::kAttachEnded: {
      std::shared_ptr<AttachWatch> watch;
      {
        absl::MutexLock lock(&mutex_);
        watch = Find(attachments_, packet.attach_ended().attach_id());
      }
      if (watch != nullptr) watch->Finish(packet.attach_ended());
      return;
    }
    case monitor::Packet::CONTENT_NOT_SET:
      return;  // an event of a newer monitor
  }
}

void MonitorClient::Close() {
  watcher_.Post([self = shared_from_this()] { self->Disconnect(false); });
}

// On the watcher's thread.
void MonitorClient::Disconnect(bool tell) {
  const std::shared_ptr<MonitorClient> self = shared_from_this();
  watcher_.loop().Remove(socket_.get());
  std::map<uint64_t, AnsweredWith> pending;
  std::map<std::string, std::shared_ptr<ExecWatch>> execs;
  std::map<std::string, std::shared_ptr<AttachWatch>> attachments;
  {
    absl::MutexLock lock(&mutex_);
    if (gone_) return;
    gone_ = true;
    pending.swap(pending_);
    execs.swap(execs_);
    attachments.swap(attachments_);
  }
  const absl::Status gone =
      absl::UnavailableError(Cat("the monitor of pod ", pod_id_, " has ended"));
  for (auto& [id, answered] : pending) answered(gone, UniqueFd());
  for (auto& [id, watch] : execs) watch->Finish(gone);
  for (auto& [id, watch] : attachments) watch->Finish(gone);
  {
    absl::MutexLock lock(&mutex_);
    went_.SignalAll();
  }
  if (tell) events_.MonitorGone(self);
}

}  // namespace crisp
