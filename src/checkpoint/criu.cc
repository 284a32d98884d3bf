#include "checkpoint/criu.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <charconv>
#include <thread>

#include "base/file.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "kernel/criu_log.h"

namespace crisp {
namespace {

constexpr absl::Duration kProbePatience = absl::Seconds(10);
constexpr int kOldestMajor = 4;
constexpr const char* kPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr std::string_view kRemedy =
    "install CRIU 4 (Debian 13 has it; tools/criu fetches that one for Debian 12) and name it in "
    "checkpoint.criu";

absl::StatusOr<std::string> FindProgram(const std::string& program) {
  if (program.empty()) {
    return absl::FailedPreconditionError("checkpoints are switched off: checkpoint.criu is empty");
  }
  if (program.find('/') != program.npos) {
    if (access(program.c_str(), X_OK) == 0) return program;
    return absl::FailedPreconditionError(
        Cat("there is no CRIU at ", program, " (checkpoint.criu): ", kRemedy));
  }
  for (const char* folder :
       {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}) {
    std::string path = JoinPath(folder, program);
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return absl::FailedPreconditionError(Cat("there is no program ", program, ": ", kRemedy));
}

// The last line that says something, for a program that explains itself on its way out.
std::string LastWords(const ProcessResult& result) {
  for (const std::string* text : {&result.stderr_data, &result.stdout_data}) {
    if (std::string errors = CriuErrors(*text); !errors.empty()) return errors;
    const std::vector<std::string_view> lines = SplitWords(*text, '\n');
    if (!lines.empty()) return std::string(lines.back().substr(0, 300));
  }
  return "";
}

// On a thread of its own, which ends here: what it runs is born in the namespace.
absl::StatusOr<ProcessResult> RunInUts(const ProcessRequest& request, const std::string& uts_path,
                                       const Call& call) {
  if (uts_path.empty()) return RunProcess(request, call);
  ASSIGN_OR_RETURN(const UniqueFd uts, OpenFile(uts_path, O_RDONLY));
  absl::StatusOr<ProcessResult> result;
  std::thread([&] {
    if (setns(uts.get(), CLONE_NEWUTS) != 0) {
      result = ErrnoStatus("joining the UTS namespace ", uts_path);
    } else {
      result = RunProcess(request, call);
    }
  }).join();
  return result;
}

}  // namespace

std::string CriuVersionIn(std::string_view output) {
  constexpr std::string_view kLabel = "Version: ";
  const size_t at = output.find(kLabel);
  if (at == output.npos) return "";
  const std::string_view rest = output.substr(at + kLabel.size());
  return std::string(rest.substr(0, rest.find_first_not_of("0123456789.")));
}

uint64_t NamespaceInode(std::string_view link) {
  const size_t open = link.find(":[");
  if (open == link.npos || !link.ends_with(']')) return 0;
  uint64_t inode = 0;
  const std::string_view digits = link.substr(open + 2, link.size() - open - 3);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), inode);
  return error == std::errc() && end == digits.data() + digits.size() ? inode : 0;
}

absl::Status Criu::Probe(const Call& call, std::string* path, std::string* version) const {
  ASSIGN_OR_RETURN(*path, FindProgram(program_));
  const Call limited = call.Within(kProbePatience);
  const auto run = [&](const char* word) {
    return RunProcess({.argv = {*path, word}, .environment = {kPath}}, limited);
  };
  ASSIGN_OR_RETURN(const ProcessResult told, run("--version"));
  *version = CriuVersionIn(told.stdout_data);
  int major = 0;
  std::from_chars(version->data(), version->data() + version->size(), major);
  if (major < kOldestMajor) {
    return absl::FailedPreconditionError(
        Cat(*path, " is CRIU ", version->empty() ? std::string("of an unknown version") : *version,
            ", which is too old: ", kRemedy));
  }
  ASSIGN_OR_RETURN(const ProcessResult check, run("check"));
  if (check.exit_code == 0) return absl::OkStatus();
  return absl::FailedPreconditionError(Cat(
      *path, " ", *version, " does not work with this kernel (`criu check`): ", LastWords(check)));
}

absl::Status Criu::Ready(const Call& call) {
  if (absl::Status known = Known(); known.ok()) return known;
  std::string path, version;
  absl::Status found = Probe(call, &path, &version);
  // What the caller's own end cut short says nothing about CRIU.
  RETURN_IF_ERROR(call.Check());
  if (!found.ok()) found = WithCode(absl::StatusCode::kFailedPrecondition, found);
  absl::MutexLock lock(&mutex_);
  known_ = found;
  path_ = std::move(path);
  version_ = std::move(version);
  return found;
}

absl::Status Criu::Known() const {
  absl::MutexLock lock(&mutex_);
  return known_;
}

std::string Criu::path() const {
  absl::MutexLock lock(&mutex_);
  return path_;
}

std::string Criu::version() const {
  absl::MutexLock lock(&mutex_);
  return version_;
}

absl::Status Criu::Dump(const CriuDump& dump, const Call& call) const {
  ProcessRequest request;
  request.environment = {kPath};
  request.argv = {path(),
                  "dump",
                  "--tree",
                  Cat(dump.pid),
                  "--images-dir",
                  dump.images,
                  "--work-dir",
                  dump.work,
                  "--log-file",
                  "dump.log",
                  "-v3",
                  "--leave-running",
                  "--manage-cgroups=ignore",
                  "--tcp-close",
                  "--ext-unix-sk",
                  "--file-locks",
                  "--link-remap",
                  "--ghost-limit",
                  "64M"};
  std::vector<std::string>& args = request.argv;
  if (!dump.freezer.empty()) args.insert(args.end(), {"--freeze-cgroup", dump.freezer});
  if (dump.netns != 0) {
    args.insert(args.end(), {"--external", Cat("net[", dump.netns, "]:extRootNetNS")});
  }
  if (dump.pidns != 0) {
    args.insert(args.end(), {"--external", Cat("pid[", dump.pidns, "]:extRootPidNS")});
  }
  if (!dump.terminal.empty()) args.insert(args.end(), {"--external", dump.terminal});
  for (const ExternalMount& mount : dump.external) {
    args.insert(args.end(), {"--external", Cat("mnt[", mount.point, "]:", mount.key)});
  }
  ASSIGN_OR_RETURN(const ProcessResult result, RunInUts(request, dump.uts_path, call));
  if (result.exit_code == 0) return absl::OkStatus();
  std::string errors = CriuErrorsOf(JoinPath(dump.work, "dump.log"));
  if (errors.empty()) errors = LastWords(result);
  return absl::InternalError(Cat("CRIU could not dump it (exit code ", result.exit_code, ")",
                                 errors.empty() ? "" : ": ", errors));
}

}  // namespace crisp
