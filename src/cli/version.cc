// crisp version: of the tool and of the daemon.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/output.h"
#include "cli/session.h"

namespace crisp {
namespace {

absl::Status Version(Session& session) {
  const auto daemon = session.client().Call(cri::VersionRequest());
  if (session.json()) {
    Json out = {{"client", CRISP_VERSION}};
    if (daemon.ok()) out["daemon"] = MessageJson(*daemon);
    PrintJson(out);
  } else {
    Print(Cat("crisp  ", CRISP_VERSION, "\n"));
    if (daemon.ok()) {
      Print(Cat(daemon->runtime_name(), "d ", daemon->runtime_version(), " (CRI ",
                daemon->runtime_api_version(), ")\n"));
    }
  }
  return daemon.status();
}

}  // namespace

void AddVersion(CLI::App& app, Session& session) {
  CLI::App* command =
      AddCommand(app, session, "version", "Show the tool's and the daemon's version");
  command->callback([&session] { session.Finish(Version(session)); });
}

}  // namespace crisp
