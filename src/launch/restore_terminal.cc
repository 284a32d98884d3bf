#include "launch/restore_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <utility>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "kernel/terminal.h"
#include "launch/container_mounts.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr size_t kMaxDocument = 4096;
constexpr uint32_t kMaxIndex = 255;
constexpr char kPlace[] = "/dev/pts";

absl::StatusOr<TerminalNumbers> ReadNumbers(const std::string& images) {
  const std::string file = JoinPath(images, "terminal.json");
  const absl::StatusOr<std::string> text = ReadFile(file, kMaxDocument);
  if (absl::IsNotFound(text.status())) {
    return absl::FailedPreconditionError(
        "the container has a terminal, but its checkpoint holds no terminal.json, which tells "
        "which one it was");
  }
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const Json json, ParseJson(*text, "the checkpoint's terminal.json"));
  ASSIGN_OR_RETURN(const TerminalNumbers numbers,
                   NumbersOfTerminal(static_cast<uint64_t>(JsonInt(json, "rdev")),
                                     static_cast<uint64_t>(JsonInt(json, "dev"))));
  if (numbers.index() <= kMaxIndex) return numbers;
  return absl::InvalidArgumentError(Cat("the checkpoint's terminal is number ", numbers.index(),
                                        "; at most ", kMaxIndex, " can be restored"));
}

// config.json's devpts, below the folder.
absl::Status MountDevpts(const Json& config, const std::string& folder, int folder_fd) {
  Json only = {{"mounts", Json::array()}, {"linux", ObjectOf(config, "linux")}};
  for (const Json& mount : ArrayOf(config, "mounts")) {
    if (JsonString(mount, "type") != "devpts") continue;
    if (CleanPath(JsonString(mount, "destination")) == kPlace) only["mounts"].push_back(mount);
  }
  if (only["mounts"].empty()) {
    return absl::FailedPreconditionError(
        Cat("the container has no devpts of its own at ", kPlace, " for its terminal"));
  }
  const CgroupTree none;
  ASSIGN_OR_RETURN(ContainerMounts mounts, ContainerMounts::Plan(only, folder, none, "/"));
  return mounts.Attach(folder_fd);
}

}  // namespace

absl::StatusOr<RestoreTerminal> MakeRestoreTerminal(const Json& config, const std::string& images,
                                                    const std::string& folder) {
  ASSIGN_OR_RETURN(const TerminalNumbers numbers, ReadNumbers(images));
  const std::string place = JoinPath(folder, "terminal");
  RETURN_IF_ERROR(MakeFolders(place, 0700));
  ASSIGN_OR_RETURN(const UniqueFd place_fd, OpenFile(place, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  RETURN_IF_ERROR(MountDevpts(config, place, place_fd.get()));
  RestoreTerminal made;
  made.name = numbers.CriuName();
  made.devpts = Cat(place, kPlace);
  made.console = Cat(made.devpts, "/", numbers.index());
  // The kernel counts them up from 0; the others are closed at the end.
  std::vector<ProcessTerminal> others;
  while (true) {
    ASSIGN_OR_RETURN(ProcessTerminal ends,
                     MakeTerminal(place_fd.get(), ObjectOf(config, "process")));
    uint32_t index = 0;
    if (::ioctl(ends.controller.get(), TIOCGPTN, &index) != 0) {
      return ErrnoStatus("asking for the number of a terminal");
    }
    if (index == numbers.index()) {
      made.ends = std::move(ends);
      return made;
    }
    if (index > numbers.index()) {
      return absl::InternalError(Cat("the new devpts gives no terminal ", numbers.index()));
    }
    others.push_back(std::move(ends));
  }
}

}  // namespace crisp
