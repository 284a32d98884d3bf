// crisp ps: pods with their containers.
#include <CLI/CLI.hpp>

#include "absl/time/clock.h"
#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct PsOptions {
  bool all = false;
  bool quiet = false;
  bool no_trunc = false;
};

const char* StateText(cri::PodSandboxState state) {
  return state == cri::SANDBOX_READY ? "ready" : "stopped";
}

const char* StateText(cri::ContainerState state) {
  switch (state) {
    case cri::CONTAINER_CREATED:
      return "created";
    case cri::CONTAINER_RUNNING:
      return "running";
    case cri::CONTAINER_EXITED:
      return "exited";
    default:
      return "unknown";
  }
}

// What the lists do not tell.
struct Details {
  std::string address;
  std::map<std::string, cri::ContainerStatus> containers;
};

Details AskDetails(Client& client, const cri::PodSandbox& pod,
                   const std::vector<const cri::Container*>& containers) {
  Details out;
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id());
  // Whatever went since the list was made is shown as the list had it.
  if (auto status = client.Call(request); status.ok()) {
    out.address = status->status().network().ip();
    const auto& options = status->status().linux().namespaces().options();
    if (out.address.empty() && options.network() == cri::NODE) out.address = "host";
  }
  for (const cri::Container* container : containers) {
    cri::ContainerStatusRequest ask;
    ask.set_container_id(container->id());
    if (auto status = client.Call(ask); status.ok())
      out.containers[container->id()] = status->status();
  }
  return out;
}

std::string StateCell(const cri::Container& container, const Details& details) {
  const auto found = details.containers.find(container.id());
  if (container.state() != cri::CONTAINER_EXITED || found == details.containers.end())
    return StateText(container.state());
  std::string text = Cat("exited ", found->second.exit_code());
  const std::string& reason = found->second.reason();
  if (!reason.empty() && reason != "Completed" && reason != "Error") text += Cat(" ", reason);
  return text;
}

Json ContainerJson(const cri::Container& container, const Details& details) {
  Json out = {{"id", container.id()},
              {"name", container.metadata().name()},
              {"attempt", container.metadata().attempt()},
              {"state", StateText(container.state())},
              {"image", container.image().image()},
              {"image_id", container.image_id()},
              {"created_at", TimeText(container.created_at())}};
  const auto found = details.containers.find(container.id());
  if (found == details.containers.end()) return out;
  const cri::ContainerStatus& status = found->second;
  out["started_at"] = TimeText(status.started_at());
  if (container.state() == cri::CONTAINER_EXITED) {
    out["finished_at"] = TimeText(status.finished_at());
    out["exit_code"] = status.exit_code();
    out["reason"] = status.reason();
  }
  return out;
}

Json PodJson(const cri::PodSandbox& pod, const std::vector<const cri::Container*>& containers,
             const Details& details) {
  Json out = {{"id", pod.id()},
              {"name", pod.metadata().name()},
              {"namespace", pod.metadata().namespace_()},
              {"uid", pod.metadata().uid()},
              {"attempt", pod.metadata().attempt()},
              {"state", StateText(pod.state())},
              {"address", details.address},
              {"created_at", TimeText(pod.created_at())},
              {"containers", Json::array()}};
  for (const cri::Container* container : containers)
    out["containers"].push_back(ContainerJson(*container, details));
  return out;
}

void AddRows(const cri::PodSandbox& pod, const std::vector<const cri::Container*>& containers,
             const Details& details, bool no_trunc, Table& table) {
  const auto id = [&](const std::string& full) { return no_trunc ? full : ShortId(full); };
  const absl::Time now = absl::Now();
  const std::string name = Cat(pod.metadata().namespace_(), "/", pod.metadata().name());
  const std::string address = details.address.empty() ? "-" : details.address;
  if (containers.empty()) {
    table.Add({id(pod.id()), name, StateText(pod.state()), address, "-", "-", "-", "-",
               Age(pod.created_at(), now)});
  }
  bool first = true;
  for (const cri::Container* container : containers) {
    table.Add({first ? id(pod.id()) : "", first ? name : "", first ? StateText(pod.state()) : "",
               first ? address : "", id(container->id()), container->metadata().name(),
               StateCell(*container, details), container->image().image(),
               Age(container->created_at(), now)});
    first = false;
  }
}

absl::Status Ps(Session& session, const PsOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  Table table({"POD ID", "POD", "STATE", "ADDRESS", "CONTAINER ID", "CONTAINER", "STATE", "IMAGE",
               "CREATED"});
  Json list = Json::array();
  for (const auto& pod : inventory.pods) {
    std::vector<const cri::Container*> containers;
    for (const cri::Container* container : inventory.ContainersOf(pod)) {
      if (options.all || container->state() == cri::CONTAINER_RUNNING)
        containers.push_back(container);
    }
    if (!options.all && pod.state() != cri::SANDBOX_READY && containers.empty()) continue;
    if (options.quiet) {
      Print(pod.id() + "\n");
      continue;
    }
    const Details details = AskDetails(session.client(), pod, containers);
    if (session.json()) {
      list.push_back(PodJson(pod, containers, details));
    } else {
      AddRows(pod, containers, details, options.no_trunc, table);
    }
  }
  if (!options.quiet) PrintList(session.json(), list, table);
  return absl::OkStatus();
}

}  // namespace

void AddPs(CLI::App& app, Session& session) {
  auto options = std::make_shared<PsOptions>();
  CLI::App* command = AddCommand(app, session, "ps", "List pods and containers");
  command->add_flag("-a,--all", options->all, "also what is stopped");
  command->add_flag("-q,--quiet", options->quiet, "ids of pods alone");
  command->add_flag("--no-trunc", options->no_trunc, "whole ids");
  command->callback([&session, options] { session.Finish(Ps(session, *options)); });
}

}  // namespace crisp
