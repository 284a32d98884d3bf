#include "pod/runtime.h"

#include "base/log.h"
#include "base/status.h"
#include "oci/spec.h"
#include "pod/pod_state.h"
#include "pod/pod_streams.h"

namespace crisp {

absl::StatusOr<std::unique_ptr<PodRuntime>> PodRuntime::Open(PodOptions options, Database& database,
                                                             ImageStore& images,
                                                             NetworkChoice& networks) {
  auto state = std::make_unique<PodState>(std::move(options), database, images, networks);
  RETURN_IF_ERROR(state->Open());
  RETURN_IF_ERROR(state->Recover());
  return std::unique_ptr<PodRuntime>(new PodRuntime(std::move(state)));
}

PodRuntime::PodRuntime(std::unique_ptr<PodState> state)
    : state_(std::move(state)), streams_(std::make_unique<PodStreams>(*state_)) {}

PodRuntime::~PodRuntime() = default;

void PodRuntime::WarmUp() {
  // Nobody is the worse for a failure but the container that asks for it, which tells.
  if (absl::Status status = PrepareDefaultSeccomp(state_->limits, *state_->seccomp); !status.ok())
    LOG_WARN("the default seccomp profile is not ready: {}", status.ToString());
  if (absl::Status status = state_->criu.Ready(Call{}); !status.ok()) {
    LOG_INFO("no checkpoints: {}", std::string(FromAbsl(status.message())));
  }
}

absl::Status PodRuntime::Ready() const { return state_->monitor_error; }

StreamBackend& PodRuntime::streams() { return *streams_; }

bool PodRuntime::SystemdCgroups() const { return state_->systemd_cgroups; }

const RuntimeHandlers& PodRuntime::Handlers() const { return *state_->handlers; }

EventHub& PodRuntime::events() { return state_->events; }

Json PodRuntime::Facts() const {
  const auto version = [&] {
    switch (state_->cgroups->version()) {
      case CgroupVersion::kV1:
        return "v1";
      case CgroupVersion::kV2:
        return "v2";
      default:
        return "hybrid";
    }
  };
  return {{"stateDir", state_->options.state},
          {"rootDir", state_->options.root},
          {"netnsDir", state_->options.netns_dir},
          {"monitor", state_->options.monitor_path},
          {"monitorProtected",
           state_->monitor_program != nullptr && state_->monitor_program->protected_clone()},
          {"userNamespaces", state_->limits.user_namespaces.ok()
                                 ? "supported"
                                 : std::string(FromAbsl(state_->limits.user_namespaces.message()))},
          {"checkpoints", state_->criu.Known().ok()
                              ? Cat("supported, by CRIU ", state_->criu.version())
                              : std::string(FromAbsl(state_->criu.Known().message()))},
          {"checkpointSupport", state_->criu.Known().ok()},
          {"cgroupVersion", version()},
          {"cgroupDriver", SystemdCgroups() ? "systemd" : "cgroupfs"},
          {"defaultRuntimeHandler", state_->handlers->default_name()},
          {"pods", state_->table.Pods().size()},
          {"containers", state_->table.Containers().size()}};
}

}  // namespace crisp
