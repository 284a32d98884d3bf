// crisp attach: a running container's own input and output.
#include "cli/attach.h"

#include <CLI/CLI.hpp>
#include <optional>

#include "base/status.h"
#include "cli/names.h"
#include "cli/remote_streams.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct AttachOptions {
  std::string container;
  StreamFlags flags;
};

// The exit code of a container that has just ended; nothing if it still runs, or has been removed.
std::optional<int> ExitCodeOf(Client& client, const std::string& container) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container);
  const auto answer = client.Call(request);
  if (!answer.ok() || answer->status().state() != cri::CONTAINER_EXITED) return std::nullopt;
  return answer->status().exit_code();
}

absl::Status Attach(Session& session, const AttachOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  ASSIGN_OR_RETURN(const cri::Container* container, FindContainer(inventory, options.container));
  ASSIGN_OR_RETURN(session.exit_code, AttachTo(session.client(), container->id(), options.flags));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<int> AttachTo(Client& client, const std::string& container_id,
                             const StreamFlags& flags) {
  cri::AttachRequest request;
  request.set_container_id(container_id);
  SetStreams(flags, request);
  ASSIGN_OR_RETURN(const auto answer, client.Call(request));
  ASSIGN_OR_RETURN(const StreamAddress address, AskAddress(client, answer.url()));
  ASSIGN_OR_RETURN(const int code, RunRemote(address, flags));
  return code != 0 ? code : ExitCodeOf(client, container_id).value_or(0);
}

void AddAttach(CLI::App& app, Session& session) {
  auto options = std::make_shared<AttachOptions>();
  CLI::App* command =
      AddCommand(app, session, "attach",
                 "Show what a running container writes from now on, until it ends; its exit code "
                 "becomes crisp's.");
  AddStreamFlags(*command, options->flags);
  command->add_option("container", options->container, "id or name of a container or its pod")
      ->required();
  command->callback([&session, options] { session.Finish(Attach(session, *options), kCannotRun); });
}

}  // namespace crisp
