// crisp stop: stops pods and containers.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct StopOptions {
  std::vector<std::string> names;
  int64_t grace = 10;
};

absl::Status StopContainer(Client& client, const std::string& id, int64_t grace) {
  cri::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(grace);
  return client.Call(request).status();
}

// The runtime kills what still runs when a pod is stopped: the grace is the containers'.
absl::Status StopPod(Client& client, const Inventory& inventory, const cri::PodSandbox& pod,
                     int64_t grace) {
  for (const cri::Container* container : inventory.ContainersOf(pod)) {
    if (container->state() == cri::CONTAINER_RUNNING)
      RETURN_IF_ERROR(StopContainer(client, container->id(), grace));
  }
  cri::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(pod.id());
  return client.Call(request).status();
}

absl::Status StopOne(Session& session, const Inventory& inventory, const std::string& name,
                     int64_t grace, Json& stopped) {
  ASSIGN_OR_RETURN(const Named named, FindNamed(inventory, name));
  if (named.pod != nullptr) {
    RETURN_IF_ERROR(StopPod(session.client(), inventory, *named.pod, grace));
  } else {
    RETURN_IF_ERROR(StopContainer(session.client(), named.container->id(), grace));
  }
  stopped.push_back(named.pod != nullptr ? named.pod->id() : named.container->id());
  if (!session.json()) Print(name + "\n");
  return absl::OkStatus();
}

// One that fails does not keep the others from being stopped.
absl::Status Stop(Session& session, const StopOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  Json stopped = Json::array();
  for (const std::string& name : options.names)
    session.Finish(StopOne(session, inventory, name, options.grace, stopped));
  if (session.json()) PrintJson({{"stopped", stopped}});
  return absl::OkStatus();
}

}  // namespace

void AddStop(CLI::App& app, Session& session) {
  auto options = std::make_shared<StopOptions>();
  CLI::App* command =
      AddCommand(app, session, "stop", "Stop pods (with their containers) or containers");
  command
      ->add_option("-t,--time", options->grace,
                   "seconds between the stop signal and the kill; 0: kill at once")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("name", options->names, "ids or names of pods or containers")->required();
  command->callback([&session, options] { session.Finish(Stop(session, *options)); });
}

}  // namespace crisp
