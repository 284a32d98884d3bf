// UpdateContainerResources: new limits for a created container (its config.json) or a running one
// (its cgroups too), all or none. Before the first side effect the record gets a journal of what
// is about to be written; recovery takes an interrupted update back by it.
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/cgroup_transaction.h"
#include "oci/oci_runtime.h"
#include "oci/spec.h"
#include "pod/pod_state.h"

namespace crisp {
namespace {

absl::Status CheckUpdatable(const record::Container& record) {
  switch (record.phase()) {
    case record::CONTAINER_READY:
    case record::CONTAINER_UP:
      return absl::OkStatus();
    case record::CONTAINER_STARTING:
      return absl::UnavailableError(
          Cat("container ", record.id(), " is still being started; try again"));
    default:
      return absl::FailedPreconditionError(
          Cat("container ", record.id(),
              " has ended: only a created or running container has resources to update"));
  }
}

record::ResourceUpdate JournalOf(const CgroupTransaction& transaction) {
  record::ResourceUpdate journal;
  for (const CgroupChange& change : transaction.changes()) {
    record::CgroupChange& entry = *journal.add_changes();
    entry.set_folder(change.folder);
    entry.set_file(change.file);
    entry.set_value(change.value);
    entry.set_before(change.before);
  }
  return journal;
}

// Under which limits its resources were built when it was created.
DaemonLimits LimitsOf(const PodState& state, const record::Container& record) {
  return record.runtime_path().empty() ? state.limits : LimitsOfRuntime(state.limits);
}

// One update under way, under the container's operation lock.
class Update {
 public:
  Update(PodState& state, ContainerPointer container)
      : state_(state),
        container_(std::move(container)),
        before_(container_->record.Get()),
        limits_(LimitsOf(state, *before_)) {}

  absl::Status Run(const v1::LinuxContainerResources& asked) {
    RETURN_IF_ERROR(CheckUpdatable(*before_));
    RETURN_IF_ERROR(Plan(asked));
    if (running() && transaction_.changes().empty() && Same(effective_, before_->resources())) {
      return absl::OkStatus();
    }
    RETURN_IF_ERROR(Journal());
    const absl::Status status = Make();
    if (status.ok()) return status;
    return TakeBack(status);
  }

 private:
  bool running() const { return before_->phase() == record::CONTAINER_UP; }

  static bool Same(const v1::LinuxContainerResources& a, const v1::LinuxContainerResources& b) {
    return google::protobuf::util::MessageDifferencer::Equals(a, b);
  }

  // All that can be refused is refused here.
  absl::Status Plan(const v1::LinuxContainerResources& asked) {
    v1::LinuxContainerResources merged = MergeResources(before_->resources(), asked);
    ASSIGN_OR_RETURN(built_, BuildResources(merged, limits_));
    effective_ = EffectiveResources(merged, built_);
    if (!running()) {
      if (asked.oom_score_adj() == 0) return absl::OkStatus();
      RETURN_IF_ERROR(CheckOomScore(asked.oom_score_adj()));
      effective_.set_oom_score_adj(
          std::max<int64_t>(asked.oom_score_adj(), state_.limits.min_oom_score_adj));
      return absl::OkStatus();
    }
    ASSIGN_OR_RETURN(const Json part, BuildResources(AskedPart(asked, merged), limits_));
    Cgroup cgroup(*state_.cgroups, before_->cgroup_path());
    ASSIGN_OR_RETURN(std::vector<CgroupWrite> writes, Ended(cgroup.Plan(part)));
    ASSIGN_OR_RETURN(transaction_, Ended(CgroupTransaction::Prepare(std::move(writes))));
    for (const std::string& warning : cgroup.warnings()) {
      LOG_WARN("container {}: {}", container_->id, warning);
    }
    return absl::OkStatus();
  }

  static absl::Status CheckOomScore(int64_t score) {
    v1::LinuxContainerResources alone;
    alone.set_oom_score_adj(score);
    return BuildResources(alone, DaemonLimits()).status();
  }

  // The cgroup goes when the process does, whatever was about to be written there.
  template <typename Result>
  Result Ended(Result result) const {
    if (StatusOf(result).ok() || container_->record.Get()->phase() == record::CONTAINER_UP) {
      return result;
    }
    return absl::FailedPreconditionError(
        Cat("container ", container_->id, " ended while its resources were being updated"));
  }
  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  template <typename Value>
  static const absl::Status& StatusOf(const absl::StatusOr<Value>& value) {
    return value.status();
  }

  absl::Status Journal() {
    container_->record.Update([&](record::Container& record) {
      *record.mutable_update() = JournalOf(transaction_);
      return true;
    });
    const absl::Status status = state_.Save(*container_);
    if (!status.ok()) ClearJournal();
    return status;
  }

  absl::Status Make() {
    RETURN_IF_ERROR(Ended(transaction_.Commit()));
    committed_ = true;
    // Or systemd would write the old ones again when it reloads.
    RETURN_IF_ERROR(state_.SetScopeLimits(*before_, built_));
    RETURN_IF_ERROR(state_.WriteLimits(*before_, built_, effective_.oom_score_adj()));
    container_->record.Update([&](record::Container& record) {
      *record.mutable_resources() = effective_;
      record.clear_update();
      return true;
    });
    return state_.Save(*container_);
  }

  // Everything as it was; if even that fails, the journal stays for the next start.
  absl::Status TakeBack(const absl::Status& why) {
    absl::Status undone = transaction_.Rollback();  // also what Commit could not put back at once
    if (committed_) {
      const absl::StatusOr<Json> old = BuildResources(before_->resources(), limits_);
      Keep(undone, old.ok()
                       ? state_.WriteLimits(*before_, *old, before_->resources().oom_score_adj())
                       : old.status());
      if (old.ok()) Keep(undone, state_.SetScopeLimits(*before_, *old));
    }
    container_->record.Update([&](record::Container& record) {
      *record.mutable_resources() = before_->resources();
      return true;
    });
    if (undone.ok()) ClearJournal();
    Keep(undone, state_.Save(*container_));
    if (undone.ok()) return why;
    return absl::InternalError(
        Cat(why.message(), "; taking the update back failed too: ", undone.message()));
  }

  void ClearJournal() {
    container_->record.Update([](record::Container& record) {
      record.clear_update();
      return true;
    });
  }

  PodState& state_;
  const ContainerPointer container_;
  const ContainerRecord before_;
  const DaemonLimits limits_;
  Json built_;  // all limits after the update, as in config.json
  v1::LinuxContainerResources effective_;
  CgroupTransaction transaction_;
  bool committed_ = false;
};

}  // namespace

absl::Status PodState::WriteLimits(const record::Container& container, const Json& built,
                                   int64_t oom_score_adj) const {
  const std::string path = Cat(paths.Bundle(container.pod_id(), container.id()), "/config.json");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  ASSIGN_OR_RETURN(Json config, ParseJson(text, path));
  RETURN_IF_ERROR(Annotate(ReplaceLimits(config, built), path));
  if (!container.runtime_path().empty()) FitToRuntime(config, limits);
  if (config["process"].is_object()) config["process"]["oomScoreAdj"] = oom_score_adj;
  return ReplaceFile(path, JsonText(config), 0600);
}

absl::Status PodState::TakeUpdateBack(const ContainerPointer& container) {
  const ContainerRecord record = container->record.Get();
  if (!record->has_update()) return absl::OkStatus();
  std::vector<CgroupChange> changes;
  for (const record::CgroupChange& change : record->update().changes()) {
    changes.push_back({change.folder(), change.file(), change.value(), change.before()});
  }
  absl::Status first;
  if (MayRun(*record)) Keep(first, RestoreCgroup(changes));
  ASSIGN_OR_RETURN(const Json built, BuildResources(record->resources(), LimitsOf(*this, *record)));
  const absl::Status written = WriteLimits(*record, built, record->resources().oom_score_adj());
  if (!absl::IsNotFound(written)) Keep(first, written);
  RETURN_IF_ERROR(first);
  container->record.Update([](record::Container& changed) {
    changed.clear_update();
    return true;
  });
  return Save(*container);
}

void PodState::WarnOfSwap(const v1::LinuxContainerResources& asked) {
  if (limits.swap_accounting) return;
  if (asked.memory_limit_in_bytes() <= 0 && asked.memory_swap_limit_in_bytes() == 0) return;
  if (swap_warned.exchange(true)) return;
  LOG_WARN(
      "memory limits hold for memory alone: this kernel does not account for swap, so containers "
      "swap without a limit if the host has swap (boot with swapaccount=1, or switch swap off)");
}

absl::StatusOr<v1::UpdateContainerResourcesResponse> PodRuntime::UpdateContainerResources(
    const v1::UpdateContainerResourcesRequest& request, const Call& call) {
  PodState& state = *state_;
  ASSIGN_OR_RETURN(const ContainerPointer container,
                   state.table.FindContainer(request.container_id()));
  ASSIGN_OR_RETURN(OperationLock::Held held,
                   container->operations.Acquire(call, Cat("container ", container->id)));
  state.WarnOfSwap(request.linux());
  RETURN_IF_ERROR(Annotate(Update(state, container).Run(request.linux()),
                           Cat("updating the resources of container ", container->id)));
  return v1::UpdateContainerResourcesResponse();
}

}  // namespace crisp
