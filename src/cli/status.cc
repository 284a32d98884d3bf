// crisp status: whether the daemon is ready, and where it keeps what.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

std::string ConditionText(const cri::RuntimeCondition& condition) {
  if (condition.status()) return "ready";
  return Cat("not ready: ", condition.message().empty() ? condition.reason() : condition.message());
}

absl::Status Status(Session& session) {
  Client& client = session.client();
  ASSIGN_OR_RETURN(const auto version, client.Call(cri::VersionRequest()));
  cri::StatusRequest request;
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto status, client.Call(request));
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(client));
  ASSIGN_OR_RETURN(const auto images, client.Call(cri::ListImagesRequest()));
  ASSIGN_OR_RETURN(const auto disk, client.Call(cri::ImageFsInfoRequest()));
  size_t running = 0;
  for (const auto& container : inventory.containers)
    running += container.state() == cri::CONTAINER_RUNNING;
  const uint64_t bytes =
      disk.image_filesystems_size() > 0 ? disk.image_filesystems(0).used_bytes().value() : 0;
  if (session.json()) {
    Json out = MessageJson(status);
    out["version"] = MessageJson(version);
    out["endpoint"] = client.endpoint();
    out["pods"] = inventory.pods.size();
    out["containers"] = inventory.containers.size();
    out["running_containers"] = running;
    out["images"] = images.images_size();
    out["image_bytes"] = bytes;
    PrintJson(out);
    return absl::OkStatus();
  }
  std::string text = Cat("daemon      ", version.runtime_name(), " ", version.runtime_version(),
                         " at ", client.endpoint(), "\n");
  for (const auto& condition : status.status().conditions()) {
    const bool network = condition.type() == "NetworkReady";
    text +=
        Cat(network ? "network     " : "runtime     ", Printable(ConditionText(condition)), "\n");
  }
  text += Cat("pods        ", inventory.pods.size(), "\n");
  text += Cat("containers  ", inventory.containers.size(), ", ", running, " running\n");
  text += Cat("images      ", images.images_size(), ", ", SizeText(bytes), " on disk\n");
  Print(text);
  return absl::OkStatus();
}

}  // namespace

void AddStatus(CLI::App& app, Session& session) {
  CLI::App* command = AddCommand(app, session, "status", "Show whether the daemon is ready");
  command->callback([&session] { session.Finish(Status(session)); });
}

}  // namespace crisp
