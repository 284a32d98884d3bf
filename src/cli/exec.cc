// crisp exec: runs a command in a container and passes its output and exit code on.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/remote_streams.h"
#include "cli/session.h"
#include "cli/stream_flags.h"

namespace crisp {
namespace {

struct ExecOptions {
  std::string container;
  std::vector<std::string> command;
  int64_t timeout = 0;
  StreamFlags flags;
};

absl::Status ExecAndStream(Session& session, const std::string& container,
                           const ExecOptions& options) {
  cri::ExecRequest request;
  request.set_container_id(container);
  for (const std::string& word : options.command) request.add_cmd(word);
  SetStreams(options.flags, request);
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  ASSIGN_OR_RETURN(const StreamAddress address, AskAddress(session.client(), answer.url()));
  ASSIGN_OR_RETURN(session.exit_code, RunRemote(address, options.flags));
  return absl::OkStatus();
}

absl::Status Exec(Session& session, const ExecOptions& options) {
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  ASSIGN_OR_RETURN(const cri::Container* container, FindContainer(inventory, options.container));
  if (options.flags.any()) return ExecAndStream(session, container->id(), options);
  cri::ExecSyncRequest request;
  request.set_container_id(container->id());
  for (const std::string& word : options.command) request.add_cmd(word);
  request.set_timeout(options.timeout);
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  if (session.json()) {
    PrintJson({{"container_id", container->id()},
               {"exit_code", answer.exit_code()},
               {"stdout", answer.stdout()},
               {"stderr", answer.stderr()}});
  } else {
    Print(answer.stdout());
    std::fwrite(answer.stderr().data(), 1, answer.stderr().size(), stderr);
  }
  session.exit_code = answer.exit_code();
  return absl::OkStatus();
}

}  // namespace

void AddExec(CLI::App& app, Session& session) {
  auto options = std::make_shared<ExecOptions>();
  CLI::App* command =
      AddCommand(app, session, "exec",
                 "Run a command in a running container: crisp exec [OPTIONS] CONTAINER COMMAND "
                 "[ARGUMENT...]. Without -i and -t its output is shown when it has ended.",
                 Arguments::kRest);
  AddStreamFlags(*command, options->flags);
  command->add_option("--timeout", options->timeout, "seconds after which it is killed; 0: never")
      ->check(CLI::NonNegativeNumber)
      ->excludes("--stdin")
      ->excludes("--tty");
  command->add_option("container", options->container, "id or name of a container or its pod")
      ->required();
  command->callback([&session, options, command] {
    options->command = RestOf(*command);
    if (options->command.empty())
      throw CLI::RequiredError("a command to run after the container's name");
    session.Finish(Exec(session, *options), kCannotRun);
  });
}

}  // namespace crisp
