// Session: what every command of `crisp` shares: the connection, the form of the output, and the
// exit code. Main thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/client.h"

namespace CLI {
class App;
}

namespace crisp {

// Exit codes of `crisp`. A program that crisp runs for its user (exec, run --follow) passes its own
// code on; crisp's failure to run it is kCannotRun, as in docker and podman.
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;
inline constexpr int kNoDaemon = 3;
inline constexpr int kCannotRun = 125;

struct Session {
  std::string endpoint = "unix:///run/crisp/crispd.sock";
  std::string output = "table";  // or "json"
  int exit_code = 0;

  Client& client();
  // Prints the failure, with a hint where one is known, and sets the exit code; ok changes nothing.
  void Finish(const absl::Status& status, int code = kFailed);
  bool json() const { return output == "json"; }

 private:
  std::unique_ptr<Client> client_;
};

// A command with the options that all of them share, so that these may stand before or after its
// name. With kRest everything after the last positional is kept as it is (App::remaining), for it
// is another program's command line.
enum class Arguments { kOwn, kRest };
CLI::App* AddCommand(CLI::App& app, Session& session, const std::string& name,
                     const std::string& description, Arguments arguments = Arguments::kOwn);
// What kRest kept, without the "--" that may head it.
std::vector<std::string> RestOf(const CLI::App& command);

// Each command of the tool adds itself; its callback runs after the whole command line was read.
void AddRun(CLI::App& app, Session& session);
void AddPs(CLI::App& app, Session& session);
void AddLogs(CLI::App& app, Session& session);
void AddExec(CLI::App& app, Session& session);
void AddAttach(CLI::App& app, Session& session);
void AddPortForward(CLI::App& app, Session& session);
void AddStop(CLI::App& app, Session& session);
void AddUpdate(CLI::App& app, Session& session);
void AddRm(CLI::App& app, Session& session);
void AddInspect(CLI::App& app, Session& session);
void AddPull(CLI::App& app, Session& session);
void AddLoad(CLI::App& app, Session& session);
void AddImages(CLI::App& app, Session& session);
void AddRmi(CLI::App& app, Session& session);
void AddStatus(CLI::App& app, Session& session);
void AddStats(CLI::App& app, Session& session);
void AddEvents(CLI::App& app, Session& session);
void AddVersion(CLI::App& app, Session& session);

// The whole tool on a command line; returns the exit code.
int RunTool(int argc, const char* const* argv);

}  // namespace crisp
