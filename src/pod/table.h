// Table: all pods and containers that clients can see, in memory. Entries are shared: who found one
// keeps it, even while another removes it (then its `gone` is set). Any thread; no lock here is
// ever held across waiting.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "api/record.pb.h"
#include "pod/list_item.h"
#include "pod/operation_lock.h"
#include "pod/snapshot.h"
#include "pod/stats_meter.h"

namespace crisp {

class MonitorClient;

using PodRecord = std::shared_ptr<const record::Pod>;
using ContainerRecord = std::shared_ptr<const record::Container>;

// What a name is reserved by: "name_namespace_uid_attempt", with '_' and '\' in the parts escaped.
std::string PodName(const ::runtime::v1::PodSandboxMetadata& metadata);
std::string ContainerName(const ::runtime::v1::ContainerMetadata& metadata,
                          std::string_view pod_id);

// What both kinds of entry have: the lock of lifecycle operations, and the order of writes to the
// database.
struct EntryLocks {
  OperationLock operations;
  absl::Mutex save_mutex;                           // held while the record is written
  bool erased ABSL_GUARDED_BY(save_mutex) = false;  // its row is deleted and must not come back
};

struct PodEntry : EntryLocks {
  explicit PodEntry(record::Pod pod);

  const std::string id;
  const std::string name;
  Snapshot<record::Pod> record;
  ListItem list_item;
  StatsMeter meter;
  // Held while a change of the pod or of one of its containers is made visible and told, so that
  // events tell changes in their order. For a moment only; taken before the lock of a Snapshot.
  absl::Mutex event_mutex;
  bool stop_told ABSL_GUARDED_BY(event_mutex) = false;

  // The connection to its monitor; null if it has none (any more).
  std::shared_ptr<MonitorClient> monitor() const ABSL_LOCKS_EXCLUDED(monitor_mutex_);
  void set_monitor(std::shared_ptr<MonitorClient> monitor) ABSL_LOCKS_EXCLUDED(monitor_mutex_);

 private:
  mutable absl::Mutex monitor_mutex_;
  std::shared_ptr<MonitorClient> monitor_ ABSL_GUARDED_BY(monitor_mutex_);
};

struct ContainerEntry : EntryLocks {
  ContainerEntry(record::Container container, std::shared_ptr<PodEntry> pod);

  const std::string id;
  const std::string name;
  const std::shared_ptr<PodEntry> pod;
  Snapshot<record::Container> record;
  ListItem list_item;
  StatsMeter meter;
  std::atomic<bool> answered = false;  // its StartContainer has been answered by the monitor

  // When StopContainer kills: the earliest time that any call since the stop signal asked for.
  absl::Time kill_at() const ABSL_LOCKS_EXCLUDED(stop_mutex_);
  void KillNoLaterThan(absl::Time time) ABSL_LOCKS_EXCLUDED(stop_mutex_);

  // config.json's "process" as JSON text, read at the first exec.
  std::string process_json() const ABSL_LOCKS_EXCLUDED(stop_mutex_);
  void set_process_json(std::string text) ABSL_LOCKS_EXCLUDED(stop_mutex_);

 private:
  mutable absl::Mutex stop_mutex_;
  absl::Time kill_at_ ABSL_GUARDED_BY(stop_mutex_) = absl::InfiniteFuture();
  std::string process_json_ ABSL_GUARDED_BY(stop_mutex_);
};

using PodPointer = std::shared_ptr<PodEntry>;
using ContainerPointer = std::shared_ptr<ContainerEntry>;

class Table {
 public:
  void Add(PodPointer pod) ABSL_LOCKS_EXCLUDED(mutex_);
  void Add(ContainerPointer container) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const PodEntry& pod) ABSL_LOCKS_EXCLUDED(mutex_);
  void Remove(const ContainerEntry& container) ABSL_LOCKS_EXCLUDED(mutex_);

  // By id or a prefix of it. NotFound; InvalidArgument if it is empty or several have it.
  absl::StatusOr<PodPointer> FindPod(std::string_view id) const ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<ContainerPointer> FindContainer(std::string_view id) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  // By reserved name, or null.
  PodPointer PodNamed(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);
  ContainerPointer ContainerNamed(const std::string& name) const ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<PodPointer> Pods() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ContainerPointer> Containers() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<ContainerPointer> ContainersOf(std::string_view pod_id) const
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  template <typename Entry>
  struct Index {
    std::map<std::string, std::shared_ptr<Entry>, std::less<>> by_id;
    std::map<std::string, std::shared_ptr<Entry>, std::less<>> by_name;
  };
  template <typename Entry>
  static absl::StatusOr<std::shared_ptr<Entry>> Find(const Index<Entry>& index, std::string_view id,
                                                     std::string_view kind);

  mutable absl::Mutex mutex_;
  Index<PodEntry> pods_ ABSL_GUARDED_BY(mutex_);
  Index<ContainerEntry> containers_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::vector<ContainerPointer>, std::less<>> by_pod_ ABSL_GUARDED_BY(mutex_);
};

// One Run or Create at a time for a name: a repeated request waits for the one in flight and then
// finds what it made.
class NameLocks {
 public:
  class Held {
   public:
    Held(NameLocks* locks, std::string name) : locks_(locks), name_(std::move(name)) {}
    Held(Held&& other) noexcept
        : locks_(std::exchange(other.locks_, nullptr)), name_(std::move(other.name_)) {}
    Held& operator=(Held&&) = delete;
    ~Held() {
      if (locks_ != nullptr) locks_->Release(name_);
    }

   private:
    NameLocks* locks_;
    std::string name_;
  };

  absl::StatusOr<Held> Acquire(const std::string& name, const Call& call)
      ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  void Release(const std::string& name) ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Mutex mutex_;
  absl::CondVar released_;
  std::set<std::string> busy_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
