#include "bench/yardstick.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/time/clock.h"
#include "base/call.h"
#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/subprocess.h"

namespace crisp {

absl::StatusOr<Yardstick> Yardstick::Prepare(const std::string& runtime,
                                             const std::string& static_true) {
  if (!PathExists(runtime)) return absl::NotFoundError(Cat("no OCI runtime at ", runtime));
  char folder[] = "/tmp/cri-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return ErrnoStatus("mkdtemp ", folder);
  Yardstick yardstick(runtime, folder);
  RETURN_IF_ERROR(yardstick.WriteBundle(static_true));
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

// The runtime's own `spec`, with the program replaced and without a terminal.
absl::Status Yardstick::WriteBundle(const std::string& static_true) {
  RETURN_IF_ERROR(MakeFolders(folder_ + "/rootfs"));
  std::error_code error;
  std::filesystem::copy_file(static_true, folder_ + "/rootfs/true", error);
  if (error) return absl::NotFoundError(Cat("copying ", static_true, ": ", error.message()));
  RETURN_IF_ERROR(Run({"spec", "--bundle", folder_}));
  ASSIGN_OR_RETURN(const std::string text, ReadFile(folder_ + "/config.json"));
  ASSIGN_OR_RETURN(Json config, ParseJson(text, "config.json"));
  config["process"]["args"] = Json::array({"/true"});
  config["process"]["terminal"] = false;
  return ReplaceFile(folder_ + "/config.json", JsonText(config));
}

// Spawned and waited for right here: RunProcess looks for the end only every millisecond.
absl::StatusOr<absl::Duration> Yardstick::Measure() {
  const std::string id = Cat("cri-bench-", getpid(), "-", ++runs_);
  std::vector<std::string> words = {runtime_,           "--root",   folder_ + "/state",
                                    "--cgroup-manager", "cgroupfs", "run",
                                    "--bundle",         folder_,    id};
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
  if (status != 0) return absl::InternalError(Cat(runtime_, " run failed with status ", status));
  return duration;
}

}  // namespace crisp
