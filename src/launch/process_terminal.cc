#include "launch/process_terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "base/status.h"
#include "kernel/mount.h"
#include "kernel/rooted_path.h"
#include "kernel/terminal.h"
#include "launch/json_list.h"

namespace crisp {
namespace {

constexpr unsigned kPtmxMajor = 5, kPtmxMinor = 2;

}  // namespace

absl::StatusOr<ProcessTerminal> MakeTerminal(int root_fd, const Json& process) {
  absl::StatusOr<UniqueFd> controller =
      OpenInRoot(root_fd, "/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW);
  if (!controller.ok()) return Annotate(controller.status(), "making a terminal");
  struct stat about = {};
  struct statfs fs = {};
  if (::fstat(controller->get(), &about) != 0 || ::fstatfs(controller->get(), &fs) != 0) {
    return ErrnoStatus("looking at the container's /dev/pts/ptmx");
  }
  if (fs.f_type != DEVPTS_SUPER_MAGIC || !S_ISCHR(about.st_mode) ||
      about.st_rdev != makedev(kPtmxMajor, kPtmxMinor)) {
    return absl::PermissionDeniedError(
        "the container's /dev/pts/ptmx is not the terminal device: the image or a mount replaced "
        "it");
  }
  const int unlock = 0;
  if (::ioctl(controller->get(), TIOCSPTLCK, &unlock) != 0) return ErrnoStatus("unlocking the pty");
  UniqueFd terminal(::ioctl(controller->get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.valid()) return ErrnoStatus("opening the pty's other end");
  const Json& size = ObjectOf(process, "consoleSize");
  if (!size.empty()) {
    RETURN_IF_ERROR(
        SetTerminalSize(controller->get(), {static_cast<uint16_t>(JsonInt(size, "width")),
                                            static_cast<uint16_t>(JsonInt(size, "height"))}));
  }
  return ProcessTerminal{*std::move(controller), std::move(terminal)};
}

absl::Status BindConsole(int root_fd, int terminal_fd) {
  ASSIGN_OR_RETURN(const UniqueFd dev, OpenInRootNoLinks(root_fd, "/dev", O_PATH | O_DIRECTORY));
  ASSIGN_OR_RETURN(const UniqueFd target,
                   MakeMountpoint(dev.get(), "console", MountpointKind::kFile));
  struct stat about = {};
  if (::fstat(target.get(), &about) != 0 || S_ISLNK(about.st_mode)) {
    return absl::PermissionDeniedError("the container's /dev/console is a link");
  }
  ASSIGN_OR_RETURN(const UniqueFd tree, CloneMount(terminal_fd, "", TreeDepth::kOne));
  return AttachMount(tree.get(), target.get(), "/dev/console");
}

}  // namespace crisp
