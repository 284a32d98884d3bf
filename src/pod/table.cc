#include "pod/table.h"

#include "base/status.h"

namespace crisp {
namespace {

void AppendEscaped(std::string& out, std::string_view part) {
  for (const char c : part) {
    if (c == '_' || c == '\\') out += '\\';
    out += c;
  }
}

}  // namespace

std::string PodName(const ::runtime::v1::PodSandboxMetadata& metadata) {
  std::string name;
  AppendEscaped(name, metadata.name());
  name += '_';
  AppendEscaped(name, metadata.namespace_());
  name += '_';
  AppendEscaped(name, metadata.uid());
  return Cat(name, "_", metadata.attempt());
}

std::string ContainerName(const ::runtime::v1::ContainerMetadata& metadata,
                          std::string_view pod_id) {
  std::string name;
  AppendEscaped(name, metadata.name());
  return Cat(name, "_", pod_id, "_", metadata.attempt());
}

PodEntry::PodEntry(record::Pod pod)
    : id(pod.id()), name(PodName(pod.config().metadata())), record(std::move(pod)) {}

std::shared_ptr<MonitorClient> PodEntry::monitor() const {
  absl::MutexLock lock(&monitor_mutex_);
  return monitor_;
}

void PodEntry::set_monitor(std::shared_ptr<MonitorClient> monitor) {
  absl::MutexLock lock(&monitor_mutex_);
  monitor_.swap(monitor);
}

ContainerEntry::ContainerEntry(record::Container container, std::shared_ptr<PodEntry> its_pod)
    : id(container.id()),
      name(ContainerName(container.config().metadata(), container.pod_id())),
      pod(std::move(its_pod)),
      record(std::move(container)) {}

absl::Time ContainerEntry::kill_at() const {
  absl::MutexLock lock(&stop_mutex_);
  return kill_at_;
}

void ContainerEntry::KillNoLaterThan(absl::Time time) {
  {
    absl::MutexLock lock(&stop_mutex_);
    kill_at_ = std::min(kill_at_, time);
  }
  record.Wake();
}

std::string ContainerEntry::process_json() const {
  absl::MutexLock lock(&stop_mutex_);
  return process_json_;
}

void ContainerEntry::set_process_json(std::string text) {
  absl::MutexLock lock(&stop_mutex_);
  process_json_ = std::move(text);
}

void Table::Add(PodPointer pod) {
  absl::MutexLock lock(&mutex_);
  pods_.by_name[pod->name] = pod;
  pods_.by_id[pod->id] = std::move(pod);
}

void Table::Add(ContainerPointer container) {
  absl::MutexLock lock(&mutex_);
  containers_.by_name[container->name] = container;
  by_pod_[container->pod->id].push_back(container);
  containers_.by_id[container->id] = std::move(container);
}

void Table::Remove(const PodEntry& pod) {
  absl::MutexLock lock(&mutex_);
  pods_.by_id.erase(pod.id);
  const auto named = pods_.by_name.find(pod.name);
  if (named != pods_.by_name.end() && named->second.get() == &pod) pods_.by_name.erase(named);
  by_pod_.erase(pod.id);
}

void Table::Remove(const ContainerEntry& container) {
  absl::MutexLock lock(&mutex_);
  // The caller's reference stays good: someone holds a pointer to call this.
  if (const auto siblings = by_pod_.find(container.pod->id); siblings != by_pod_.end()) {
    std::erase_if(siblings->second, [&](const auto& other) { return other.get() == &container; });
    if (siblings->second.empty()) by_pod_.erase(siblings);
  }
  const auto named = containers_.by_name.find(container.name);
  if (named != containers_.by_name.end() && named->second.get() == &container) {
    containers_.by_name.erase(named);
  }
  containers_.by_id.erase(container.id);
}

template <typename Entry>
absl::StatusOr<std::shared_ptr<Entry>> Table::Find(const Index<Entry>& index, std::string_view id,
                                                   std::string_view kind) {
  if (id.empty()) return absl::InvalidArgumentError(Cat("the ", kind, " id is empty"));
  const auto found = index.by_id.lower_bound(id);
  if (found == index.by_id.end() || !found->first.starts_with(id)) {
    return absl::NotFoundError(Cat(kind, " ", id, " does not exist"));
  }
  if (found->first.size() != id.size()) {
    const auto next = std::next(found);
    if (next != index.by_id.end() && next->first.starts_with(id)) {
      return absl::InvalidArgumentError(Cat(kind, " id ", id, " is ambiguous: ", found->first,
                                            " and ", next->first,
                                            " begin with it; give more of it"));
    }
  }
  return found->second;
}

absl::StatusOr<PodPointer> Table::FindPod(std::string_view id) const {
  absl::MutexLock lock(&mutex_);
  return Find(pods_, id, "pod");
}

absl::StatusOr<ContainerPointer> Table::FindContainer(std::string_view id) const {
  absl::MutexLock lock(&mutex_);
  return Find(containers_, id, "container");
}

PodPointer Table::PodNamed(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = pods_.by_name.find(name);
  return found == pods_.by_name.end() ? nullptr : found->second;
}

ContainerPointer Table::ContainerNamed(const std::string& name) const {
  absl::MutexLock lock(&mutex_);
  const auto found = containers_.by_name.find(name);
  return found == containers_.by_name.end() ? nullptr : found->second;
}

std::vector<PodPointer> Table::Pods() const {
  absl::MutexLock lock(&mutex_);
  std::vector<PodPointer> pods;
  pods.reserve(pods_.by_id.size());
  for (const auto& [id, pod] : pods_.by_id) pods.push_back(pod);
  return pods;
}

std::vector<ContainerPointer> Table::Containers() const {
  absl::MutexLock lock(&mutex_);
  std::vector<ContainerPointer> containers;
  containers.reserve(containers_.by_id.size());
  for (const auto& [id, container] : containers_.by_id) containers.push_back(container);
  return containers;
}

std::vector<ContainerPointer> Table::ContainersOf(std::string_view pod_id) const {
  absl::MutexLock lock(&mutex_);
  const auto found = by_pod_.find(pod_id);
  return found == by_pod_.end() ? std::vector<ContainerPointer>() : found->second;
}

absl::StatusOr<NameLocks::Held> NameLocks::Acquire(const std::string& name, const Call& call) {
  while (true) {
    {
      absl::MutexLock lock(&mutex_);
      const absl::Time poll = std::min(call.deadline, absl::Now() + kCancelPoll);
      while (busy_.contains(name) && !released_.WaitWithDeadline(&mutex_, poll)) {
      }
      if (busy_.insert(name).second) return Held(this, name);
    }
    if (absl::Status status = call.Check(); !status.ok()) {
      return Annotate(status, Cat("waiting for an earlier request for ", name));
    }
  }
}

void NameLocks::Release(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  busy_.erase(name);
  released_.SignalAll();
}

}  // namespace crisp
