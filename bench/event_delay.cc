#include "bench/event_delay.h"

#include <charconv>
#include <map>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

namespace v1 = runtime::v1;

constexpr absl::Duration kPatience = absl::Seconds(10);

// When the exit of each container was heard of.
class Subscriber {
 public:
  explicit Subscriber(CriClient& client) {
    reader_ = client.runtime().GetContainerEvents(&context_, v1::GetEventsRequest());
    thread_ = std::thread([this] { Read(); });
  }
  ~Subscriber() {
    context_.TryCancel();
    thread_.join();
  }

  // InfinitePast if it does not come in time.
  absl::Time WaitForExit(const std::string& container) {
    absl::MutexLock lock(&mutex_);
    const auto heard = [&]() ABSL_NO_THREAD_SAFETY_ANALYSIS { return exits_.contains(container); };
    if (!mutex_.AwaitWithTimeout(absl::Condition(&heard), kPatience)) return absl::InfinitePast();
    return exits_[container];
  }

 private:
  void Read() {
    v1::ContainerEventResponse event;
    while (reader_->Read(&event)) {
      const absl::Time now = absl::Now();
      if (event.container_event_type() != v1::CONTAINER_STOPPED_EVENT) continue;
      absl::MutexLock lock(&mutex_);
      exits_.emplace(event.container_id(), now);
    }
    (void)reader_->Finish();
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::ContainerEventResponse>> reader_;
  absl::Mutex mutex_;
  std::map<std::string, absl::Time> exits_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// "<time> stdout F <nanoseconds>".
absl::StatusOr<absl::Time> LastWords(const std::string& log_path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(log_path));
  const std::string_view line = Trim(text);
  const std::string_view word = line.substr(line.rfind(' ') + 1);
  int64_t nanos = 0;
  if (std::from_chars(word.data(), word.data() + word.size(), nanos).ec != std::errc())
    return absl::InternalError(Cat("no time in ", log_path, ": ", line));
  return absl::FromUnixNanos(nanos);
}

absl::Status RunOnce(Target& target, const Target::Pod& pod, Subscriber& subscriber,
                     const std::string& name) {
  CriClient& client = target.client();
  ASSIGN_OR_RETURN(
      const std::string container,
      client.CreateContainer(pod.id, target.ContainerConfig(name, {kPeer, "die"}), pod.config));
  RETURN_IF_ERROR(client.StartContainer(container));
  const absl::Time heard = subscriber.WaitForExit(container);
  if (heard == absl::InfinitePast())
    return absl::DeadlineExceededError(Cat("no event of the exit of container ", container));
  ASSIGN_OR_RETURN(const absl::Time died, LastWords(target.LogPath(pod, name)));
  target.samples().Add("exit to event", heard - died);
  return client.RemoveContainer(container);
}

}  // namespace

absl::Status MeasureEventDelay(Target& target, int rounds) {
  ASSIGN_OR_RETURN(const Target::Pod pod, target.StartPod());
  absl::Status verdict;
  {
    Subscriber subscriber(target.client());
    for (int i = 0; i < rounds && verdict.ok(); ++i)
      verdict = RunOnce(target, pod, subscriber, Cat("exit-", i));
  }
  verdict.Update(target.RemovePod(pod));
  return verdict;
}

}  // namespace crisp
