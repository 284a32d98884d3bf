// crisp logs: a container's output, from its log file.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/follow.h"
#include "cli/log_view.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

struct LogsOptions {
  std::string container;
  bool follow = false;
  std::string since;
  LogOptions view;
};

absl::Status Logs(Session& session, const LogsOptions& options) {
  LogOptions view_options = options.view;
  view_options.json = session.json();
  if (!options.since.empty()) {
    ASSIGN_OR_RETURN(view_options.since, ParseSince(options.since));
  }
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  ASSIGN_OR_RETURN(const cri::Container* container, FindContainer(inventory, options.container));
  cri::ContainerStatusRequest request;
  request.set_container_id(container->id());
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  const std::string& path = answer.status().log_path();
  if (path.empty()) {
    return absl::FailedPreconditionError(Cat("container ", container->metadata().name(),
                                             " keeps no log: it was made without a log path"));
  }
  LogView view(path, view_options, WriteEntry);
  const absl::Status shown = view.ShowExisting();
  if (absl::IsNotFound(shown) && answer.status().state() == cri::CONTAINER_CREATED)
    return absl::FailedPreconditionError(Cat("container ", container->metadata().name(),
                                             " has not been started; it has no log yet"));
  if (!shown.ok() || !options.follow) return shown;
  return FollowUntilExit(session.client(), container->id(), view).status();
}

}  // namespace

void AddLogs(CLI::App& app, Session& session) {
  auto options = std::make_shared<LogsOptions>();
  CLI::App* command = AddCommand(app, session, "logs", "Show what a container has written");
  command->add_flag("-f,--follow", options->follow, "go on until the container has exited");
  command->add_option("--tail", options->view.tail, "only so many last lines")
      ->check(CLI::NonNegativeNumber);
  command->add_option("--since", options->since, "only since a time, or for so long (10m)");
  command->add_flag("-t,--timestamps", options->view.timestamps, "the time before each line");
  command->add_option("container", options->container, "id or name of a container or its pod")
      ->required();
  command->callback([&session, options] { session.Finish(Logs(session, *options)); });
}

}  // namespace crisp
