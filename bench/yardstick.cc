#include "bench/yardstick.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/call.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "bench/samples.h"

namespace crisp {

absl::StatusOr<Yardstick> Yardstick::Prepare(const std::string& runtime,
                                             const std::string& program_folder) {
  if (!PathExists(runtime)) return absl::NotFoundError(Cat("no OCI runtime at ", runtime));
  char folder[] = "/tmp/cri-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return ErrnoStatus("mkdtemp ", folder);
  Yardstick yardstick(runtime, folder);
  RETURN_IF_ERROR(MakeFolders(yardstick.folder_ + "/rootfs"));
  RETURN_IF_ERROR(yardstick.CopyProgram(program_folder, "static-true", "true"));
  RETURN_IF_ERROR(yardstick.CopyProgram(program_folder, "bench-peer", "peer"));
  RETURN_IF_ERROR(yardstick.Run({"spec", "--bundle", yardstick.folder_}));
  RETURN_IF_ERROR(yardstick.WriteConfig({"/true"}));
  return yardstick;
}

Yardstick::Yardstick(Yardstick&& other) noexcept
    : runtime_(std::move(other.runtime_)),
      folder_(std::exchange(other.folder_, "")),
      runs_(other.runs_) {}

Yardstick::~Yardstick() {
  if (!folder_.empty()) (void)RemoveTree(folder_);
}

absl::Status Yardstick::Run(const std::vector<std::string>& arguments) const {
  ProcessRequest request;
  request.argv = {runtime_};
  request.argv.insert(request.argv.end(), arguments.begin(), arguments.end());
  request.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  ASSIGN_OR_RETURN(const ProcessResult result,
                   RunProcess(request, Call().Within(absl::Seconds(30))));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(Cat(runtime_, " ", arguments[0], " exited with ", result.exit_code,
                                 ": ", result.stderr_data));
}

absl::Status Yardstick::CopyProgram(const std::string& folder, const std::string& name,
                                    const std::string& new_name) const {
  std::error_code error;
  std::filesystem::copy_file(JoinPath(folder, name), JoinPath(folder_ + "/rootfs", new_name),
                             error);
  if (!error) return absl::OkStatus();
  return absl::NotFoundError(Cat("copying ", name, " of ", folder, ": ", error.message()));
}

// The runtime's own `spec`, with the program replaced and without a terminal.
absl::Status Yardstick::WriteConfig(const std::vector<std::string>& command) const {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(folder_ + "/config.json"));
  ASSIGN_OR_RETURN(Json config, ParseJson(text, "config.json"));
  config["process"]["args"] = command;
  config["process"]["terminal"] = false;
  return ReplaceFile(folder_ + "/config.json", JsonText(config));
}

std::vector<std::string> Yardstick::Words(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = {"--root", folder_ + "/state", "--cgroup-manager", "cgroupfs"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// Spawned and waited for right here: RunProcess looks for the end only every millisecond.
absl::StatusOr<absl::Duration> Yardstick::Spawn(const std::vector<std::string>& arguments) const {
  std::vector<std::string> words = Words(arguments);
  words.insert(words.begin(), runtime_);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const absl::Time start = absl::Now();
  pid_t pid = -1;
  const int error = posix_spawn(&pid, runtime_.c_str(), nullptr, nullptr, argv.data(), environ);
  if (error != 0) return Errno(error, Cat("run ", runtime_));
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const absl::Duration duration = absl::Now() - start;
  if (status == 0) return duration;
  return absl::InternalError(Cat(runtime_, " ", arguments[0], " failed with status ", status));
}

absl::StatusOr<absl::Duration> Yardstick::Measure() {
  return Spawn({"run", "--bundle", folder_, Cat("cri-bench-", getpid(), "-", ++runs_)});
}

absl::StatusOr<absl::Duration> Yardstick::MeasureExec(int execs) {
  const std::string id = Cat("cri-bench-", getpid(), "-", ++runs_);
  RETURN_IF_ERROR(WriteConfig({"/peer", "idle"}));
  const absl::Cleanup back = [&] { (void)WriteConfig({"/true"}); };
  RETURN_IF_ERROR(Spawn({"run", "--detach", "--bundle", folder_, id}).status());
  const absl::Cleanup removed = [&] { (void)Run(Words({"delete", "--force", id})); };
  std::vector<double> took;
  for (int i = 0; i < execs; ++i) {
    ASSIGN_OR_RETURN(const absl::Duration each, Spawn({"exec", id, "/true"}));
    took.push_back(absl::ToDoubleMilliseconds(each));
  }
  return absl::Milliseconds(Summarize(took).median_ms);
}

}  // namespace crisp
