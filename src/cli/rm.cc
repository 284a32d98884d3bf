// crisp rm: removes pods and containers.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/run_logs.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct RmOptions {
  std::vector<std::string> names;
  bool all = false;
  bool force = false;
};

absl::Status StillRuns(std::string_view what, const std::string& name) {
  return absl::FailedPreconditionError(
      Cat(what, " ", name, " still runs; `crisp stop` it first, or use --force"));
}

absl::Status RemovePod(Client& client, const Inventory& inventory, const cri::PodSandbox& pod,
                       bool force) {
  for (const cri::Container* container : inventory.ContainersOf(pod)) {
    if (!force && container->state() == cri::CONTAINER_RUNNING)
      return StillRuns("a container of pod", pod.metadata().name());
  }
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod.id());
  RETURN_IF_ERROR(client.Call(request).status());
  if (!pod.annotations().contains(kRunLogsAnnotation)) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string root, RunLogsRoot(client));
  return RemoveRunLogs(pod, root);
}

absl::Status RemoveContainer(Client& client, const cri::Container& container, bool force) {
  if (!force && container.state() == cri::CONTAINER_RUNNING)
    return StillRuns("container", container.metadata().name());
  cri::RemoveContainerRequest request;
  request.set_container_id(container.id());
  return client.Call(request).status();
}

absl::Status RemoveOne(Session& session, const Inventory& inventory, const Named& target,
                       bool force, Json& removed) {
  if (target.pod != nullptr) {
    RETURN_IF_ERROR(RemovePod(session.client(), inventory, *target.pod, force));
  } else {
    RETURN_IF_ERROR(RemoveContainer(session.client(), *target.container, force));
  }
  const std::string& id = target.pod != nullptr ? target.pod->id() : target.container->id();
  removed.push_back(id);
  if (!session.json()) Print(ShortId(id) + "\n");
  return absl::OkStatus();
}

// One that fails does not keep the others from being removed.
absl::Status Rm(Session& session, const RmOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  Json removed = Json::array();
  for (const std::string& name : options.names) {
    const auto named = FindNamed(inventory, name);
    session.Finish(named.ok() ? RemoveOne(session, inventory, *named, options.force, removed)
                              : named.status());
  }
  if (options.all) {
    for (const auto& pod : inventory.pods)
      session.Finish(RemoveOne(session, inventory, {.pod = &pod}, options.force, removed));
  }
  if (session.json()) PrintJson({{"removed", removed}});
  return absl::OkStatus();
}

}  // namespace

void AddRm(CLI::App& app, Session& session) {
  auto options = std::make_shared<RmOptions>();
  CLI::App* command =
      AddCommand(app, session, "rm", "Remove pods (with their containers) or containers");
  command->add_flag("-f,--force", options->force, "also what still runs");
  CLI::Option* all = command->add_flag("-a,--all", options->all, "every pod");
  command->add_option("name", options->names, "ids or names of pods or containers")->excludes(all);
  command->callback([&session, options] {
    if (options->names.empty() && !options->all) throw CLI::RequiredError("a name or id, or --all");
    session.Finish(Rm(session, *options));
  });
}

}  // namespace crisp
