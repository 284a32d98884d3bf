// crisp rmi: removes images.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

absl::Status RemoveOne(Session& session, const std::string& name, Json& removed) {
  // The daemon is content when there is no such image; a person has probably mistyped it.
  cri::ImageStatusRequest ask;
  ask.mutable_image()->set_image(name);
  ASSIGN_OR_RETURN(const auto status, session.client().Call(ask));
  if (!status.has_image()) {
    return absl::NotFoundError(
        Cat("there is no image \"", name, "\"; `crisp images` lists what there is"));
  }
  cri::RemoveImageRequest request;
  request.mutable_image()->set_image(name);
  RETURN_IF_ERROR(session.client().Call(request).status());
  removed.push_back(status.image().id());
  if (!session.json()) Print(status.image().id() + "\n");
  return absl::OkStatus();
}

// One that fails does not keep the others from being removed.
void Rmi(Session& session, const std::vector<std::string>& names) {
  Json removed = Json::array();
  for (const std::string& name : names) session.Finish(RemoveOne(session, name, removed));
  if (session.json()) PrintJson({{"removed", removed}});
}

}  // namespace

void AddRmi(CLI::App& app, Session& session) {
  auto names = std::make_shared<std::vector<std::string>>();
  CLI::App* command = AddCommand(app, session, "rmi", "Remove images, with all their names");
  command->add_option("image", *names, "names or ids")->required();
  command->callback([&session, names] { Rmi(session, *names); });
}

}  // namespace crisp
