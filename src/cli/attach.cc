// crisp attach: a running container's own input and output.
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
  bool interactive = false;
  bool terminal = false;
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
  cri::AttachRequest request;
  request.set_container_id(container->id());
  request.set_tty(options.terminal);
  request.set_stdin(options.interactive);
  request.set_stdout(true);
  request.set_stderr(!options.terminal);
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  ASSIGN_OR_RETURN(session.exit_code, RunRemote(answer.url(), {.in = options.interactive,
                                                               .terminal = options.terminal}));
  if (session.exit_code == 0) {
    session.exit_code = ExitCodeOf(session.client(), container->id()).value_or(0);
  }
  return absl::OkStatus();
}

}  // namespace

void AddAttach(CLI::App& app, Session& session) {
  auto options = std::make_shared<AttachOptions>();
  CLI::App* command =
      AddCommand(app, session, "attach",
                 "Show what a running container writes from now on, until it ends; its exit code "
                 "becomes crisp's.");
  command->add_flag("-i,--stdin", options->interactive, "pass standard input on");
  command->add_flag("-t,--tty", options->terminal, "the container has a terminal");
  command->add_option("container", options->container, "id or name of a container or its pod")
      ->required();
  command->callback([&session, options] { session.Finish(Attach(session, *options), kCannotRun); });
}

}  // namespace crisp
