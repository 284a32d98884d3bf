// crisp inspect: everything the daemon tells about a pod (with its containers), a container or an
// image, as JSON.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct InspectOptions {
  std::vector<std::string> names;
  std::string type;
};

absl::StatusOr<Json> InspectContainer(Client& client, const std::string& id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(id);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto answer, client.Call(request));
  Json out = MessageJson(answer);
  out["type"] = "container";
  return out;
}

absl::StatusOr<Json> InspectPod(Client& client, const Inventory& inventory,
                                const cri::PodSandbox& pod) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(pod.id());
  request.set_verbose(true);
  ASSIGN_OR_RETURN(auto answer, client.Call(request));
  answer.clear_containers_statuses();  // asked below, with more in them
  Json out = MessageJson(answer);
  out["type"] = "pod";
  out["containers"] = Json::array();
  for (const cri::Container* container : inventory.ContainersOf(pod)) {
    ASSIGN_OR_RETURN(Json inner, InspectContainer(client, container->id()));
    out["containers"].push_back(std::move(inner));
  }
  return out;
}

// Null if there is no such image.
absl::StatusOr<Json> InspectImage(Client& client, const std::string& name) {
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image(name);
  request.set_verbose(true);
  ASSIGN_OR_RETURN(const auto answer, client.Call(request));
  if (!answer.has_image()) return Json();
  Json out = MessageJson(answer);
  out["type"] = "image";
  return out;
}

absl::StatusOr<Json> InspectOne(Session& session, const Inventory& inventory,
                                const std::string& name, const std::string& type) {
  Client& client = session.client();
  absl::Status reason = absl::NotFoundError(Cat("there is no ", type, " \"", name, "\""));
  if (type == "container") {
    ASSIGN_OR_RETURN(const cri::Container* container, FindContainer(inventory, name));
    return InspectContainer(client, container->id());
  }
  if (type != "image") {
    const auto named = FindNamed(inventory, name);
    if (named.ok() && named->pod != nullptr) return InspectPod(client, inventory, *named->pod);
    if (named.ok() && type.empty()) return InspectContainer(client, named->container->id());
    if (!named.ok()) reason = named.status();
    if (!type.empty() || absl::IsInvalidArgument(reason)) return reason;
  }
  const auto image = InspectImage(client, name);
  if (image.ok() && !image->is_null()) return *image;
  if (type == "image") return image.ok() ? reason : image.status();
  return absl::NotFoundError(Cat("there is no pod, container or image \"", name,
                                 "\"; `crisp ps --all` and `crisp images` list what there is"));
}

absl::Status Inspect(Session& session, const InspectOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  Json list = Json::array();
  for (const std::string& name : options.names) {
    ASSIGN_OR_RETURN(Json one, InspectOne(session, inventory, name, options.type));
    list.push_back(std::move(one));
  }
  PrintJson(list.size() == 1 ? list.front() : list);
  return absl::OkStatus();
}

}  // namespace

void AddInspect(CLI::App& app, Session& session) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command =
      AddCommand(app, session, "inspect", "Show all about a pod, a container or an image, as JSON");
  command->add_option("--type", options->type, "look only for: pod, container or image")
      ->check(CLI::IsMember({"pod", "container", "image"}));
  command->add_option("name", options->names, "ids or names")->required();
  command->callback([&session, options] { session.Finish(Inspect(session, *options)); });
}

}  // namespace crisp
