#include "cli/session.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/text.h"

namespace crisp {
namespace {

constexpr absl::Duration kTimeout = absl::Minutes(2);

void AddSharedOptions(CLI::App& app, Session& session) {
  app.add_option("--endpoint", session.endpoint, "the daemon's socket")
      ->type_name("unix:///PATH")
      ->capture_default_str();
  app.add_option("-o,--output", session.output, "form of the output")
      ->check(CLI::IsMember({"table", "json"}))
      ->type_name("")
      ->capture_default_str();
}

}  // namespace

CLI::App* AddCommand(CLI::App& app, Session& session, const std::string& name,
                     const std::string& description, Arguments arguments) {
  CLI::App* command = app.add_subcommand(name, description);
  AddSharedOptions(*command, session);
  command->prefix_command(arguments == Arguments::kRest);
  return command;
}

std::vector<std::string> RestOf(const CLI::App& command) {
  std::vector<std::string> rest = command.remaining();
  if (!rest.empty() && rest.front() == "--") rest.erase(rest.begin());
  return rest;
}

Client& Session::client() {
  if (client_ == nullptr) client_ = std::make_unique<Client>(endpoint, kTimeout);
  return *client_;
}

void Session::Finish(const absl::Status& status, int code) {
  if (status.ok()) return;
  std::fflush(stdout);
  std::fprintf(stderr, "crisp: %s\n", std::string(FromAbsl(status.message())).c_str());
  exit_code = absl::IsUnavailable(status) ? kNoDaemon : code;
}

int RunTool(int argc, const char* const* argv) {
  CLI::App app("crisp: looks after the pods, containers and images of one node.", "crisp");
  Session session;
  app.set_version_flag("-V,--version", "crisp " CRISP_VERSION);
  AddSharedOptions(app, session);
  // On the outer command alone: there it yields to the option, wherever that stands.
  app.get_option("--endpoint")->envname("CRISP_ENDPOINT");
  app.require_subcommand(0, 1);
  for (auto* add : {AddRun, AddPs, AddLogs, AddExec, AddAttach, AddPortForward, AddStop, AddUpdate,
                    AddRm, AddInspect, AddPull, AddLoad, AddImages, AddRmi, AddStatus, AddStats,
                    AddEvents, AddVersion}) {
    add(app, session);
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (app.get_subcommands().empty()) {
    std::fputs(app.help().c_str(), stderr);
    return kWrongUsage;
  }
  return session.exit_code;
}

}  // namespace crisp
