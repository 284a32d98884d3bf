// MonitorClient: the daemon's connection to one pod's crisp-monitor (docs/monitor-protocol.md). Any
// thread may send; answers, events and the end of the connection arrive on the ExitWatcher's
// thread. Shared ownership: the watcher holds the client until the connection ends or Close().
#pragma once

#include <sys/eventfd.h>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "api/monitor.pb.h"
#include "base/call.h"
#include "base/unique_fd.h"

namespace crisp {

class ExitWatcher;
class MonitorClient;

// What a monitor says unasked. All on the watcher's thread; must not wait. Outlives every client.
class MonitorEvents {
 public:
  virtual ~MonitorEvents() = default;
  virtual void ContainerStarted(const std::string& pod_id,
                                const monitor::ContainerStarted& event) = 0;
  virtual void ContainerExited(const std::string& pod_id, const monitor::ExitRecord& exit) = 0;
  // The connection ended other than by Close(); everything that was asked has failed already.
  virtual void MonitorGone(const std::shared_ptr<MonitorClient>& client) = 0;
};

// The end of an exec or an attachment, of which the monitor tells by an Event; `signal` (an
// eventfd) is readable once it is known.
template <typename Event>
class EndWatch {
 public:
  explicit EndWatch(UniqueFd signal) : signal_(std::move(signal)) {}
  int signal() const { return signal_.get(); }
  // What was told, once signalled; Unavailable if the monitor went away first.
  absl::StatusOr<Event> Result() const ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    return result_;
  }

 private:
  friend class MonitorClient;
  void Finish(absl::StatusOr<Event> result) ABSL_LOCKS_EXCLUDED(mutex_) {
    {
      absl::MutexLock lock(&mutex_);
      result_ = std::move(result);
    }
    eventfd_write(signal_.get(), 1);
  }

  const UniqueFd signal_;
  mutable absl::Mutex mutex_;
  absl::StatusOr<Event> result_ ABSL_GUARDED_BY(mutex_) = absl::UnavailableError("it goes on");
};

using ExecWatch = EndWatch<monitor::ExecExited>;
using AttachWatch = EndWatch<monitor::AttachEnded>;

class MonitorClient : public std::enable_shared_from_this<MonitorClient> {
 public:
  using Answer = absl::StatusOr<monitor::Reply>;  // a Reply with a code is turned into its Status
  using Answered = std::function<void(Answer)>;

  // pidfd may be invalid if the monitor is not known by one yet (see set_process).
  static std::shared_ptr<MonitorClient> Open(ExitWatcher& watcher, MonitorEvents& events,
                                             std::string pod_id, UniqueFd socket, UniqueFd pidfd);

  const std::string& pod_id() const { return pod_id_; }

  // Sends at once. answered is called on the watcher's thread, or right here if sending fails.
  void Send(monitor::Request request, std::span<const int> descriptors, Answered answered);
  // Sends and waits. After the call's end the answer, when it comes, is dropped. A descriptor that
  // comes with it goes to *descriptor.
  Answer Ask(monitor::Request request, const Call& call, std::span<const int> descriptors = {},
             UniqueFd* descriptor = nullptr);

  // To be called before the Exec is sent; Unwatch when nobody waits any more.
  absl::StatusOr<std::shared_ptr<ExecWatch>> WatchExec(const std::string& exec_id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void UnwatchExec(const std::string& exec_id) ABSL_LOCKS_EXCLUDED(mutex_);

  // The same before an Attach is sent.
  absl::StatusOr<std::shared_ptr<AttachWatch>> WatchAttachment(const std::string& attach_id)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void UnwatchAttachment(const std::string& attach_id) ABSL_LOCKS_EXCLUDED(mutex_);

  bool gone() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Waits for the end of the connection: true, or false when `until` came first.
  bool AwaitGone(absl::Time until) const ABSL_LOCKS_EXCLUDED(mutex_);

  // SIGKILL by pidfd; returns when the process has ended (reaped, if it is our child).
  void Kill() const ABSL_LOCKS_EXCLUDED(mutex_);
  // False if it is not known by a pidfd, too.
  bool EndsWithin(absl::Duration limit) const ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasProcess() const ABSL_LOCKS_EXCLUDED(mutex_);
  void set_process(UniqueFd pidfd) ABSL_LOCKS_EXCLUDED(mutex_);

  // Ends the connection without an event; the monitor goes on.
  void Close();

 private:
  // What comes with an answer, invalid if nothing does.
  using AnsweredWith = std::function<void(Answer, UniqueFd)>;

  MonitorClient(ExitWatcher& watcher, MonitorEvents& events, std::string pod_id, UniqueFd socket,
                UniqueFd pidfd);
  void Register();
  void Readable();
  void SendFor(monitor::Request request, std::span<const int> descriptors, AnsweredWith answered)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Receive(const std::string& data, UniqueFd descriptor);
  void TakeReply(monitor::Reply reply, UniqueFd descriptor) ABSL_LOCKS_EXCLUDED(mutex_);
  void WatchProcess();
  std::shared_ptr<UniqueFd> Process() const ABSL_LOCKS_EXCLUDED(mutex_);
  void Disconnect(bool tell);
  absl::Status SendWhole(const std::string& data, std::span<const int> descriptors)
      ABSL_LOCKS_EXCLUDED(send_mutex_);

  ExitWatcher& watcher_;
  MonitorEvents& events_;
  const std::string pod_id_;
  const UniqueFd socket_;

  absl::Mutex send_mutex_;  // held while a full socket is waited for

  mutable absl::Mutex mutex_;
  mutable absl::CondVar went_;
  bool gone_ ABSL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<UniqueFd> pidfd_ ABSL_GUARDED_BY(mutex_);
  uint64_t next_id_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<uint64_t, AnsweredWith> pending_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<ExecWatch>> execs_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::shared_ptr<AttachWatch>> attachments_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
