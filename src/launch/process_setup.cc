#include "launch/process_setup.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "kernel/rooted_path.h"
#include "launch/capability_sets.h"
#include "launch/child_process.h"
#include "launch/devices.h"
#include "launch/exec_label.h"
#include "launch/json_list.h"
#include "launch/process_limits.h"
#include "launch/process_terminal.h"

namespace crisp {
namespace {

constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr uint64_t kSysAdmin = uint64_t{1} << CAP_SYS_ADMIN;
constexpr size_t kMaxGroups = 65536;

}  // namespace

absl::Status ProcessSetup::PrepareStreams(int root_fd, bool console) {
  if (io_.terminal) {
    ASSIGN_OR_RETURN(ProcessTerminal made, MakeTerminal(root_fd, process_));
    if (console) RETURN_IF_ERROR(BindConsole(root_fd, made.terminal.get()));
    RETURN_IF_ERROR(outcome_.SendTerminal(made.controller.get()));
    terminal_ = std::move(made.terminal);
    return absl::OkStatus();
  }
  if (io_.in >= 0 && io_.out >= 0 && io_.err >= 0) return absl::OkStatus();
  ASSIGN_OR_RETURN(null_, OpenContainerNullForIo(root_fd));
  return absl::OkStatus();
}

absl::Status ProcessSetup::Run(int root_fd, int proc_fd, const SeccompFilter& filter,
                               bool make_cwd) {
  ASSIGN_OR_RETURN(const CapabilitySets capabilities, ParseCapabilities(process_));
  const bool no_new_privileges = JsonBool(process_, "noNewPrivileges");
  std::vector<std::string> args = StringList(process_, "args");
  if (args.empty() || args[0].empty()) {
    return absl::InvalidArgumentError("process.args is empty: there is nothing to run");
  }
  RETURN_IF_ERROR(SetLimits());
  RETURN_IF_ERROR(EnterCwd(root_fd, make_cwd));
  RETURN_IF_ERROR(PlaceStreams());
  RETURN_IF_ERROR(DropBounding(capabilities.bounding));
  // Without no_new_privs a filter can be loaded by CAP_SYS_ADMIN only. It is kept until then: what
  // counts after execve are the bounding, inheritable and ambient sets, which are final before. So
  // the filter judges no call of ours but execve (and the message that it failed).
  const bool keep_admin = !filter.empty() && !no_new_privileges;
  RETURN_IF_ERROR(BecomeUser());
  RETURN_IF_ERROR(SetCapabilities(capabilities, keep_admin ? kSysAdmin : 0));
  if (cwd_pending_) RETURN_IF_ERROR(EnterCwd(root_fd, false));
  if (no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return ErrnoStatus("no_new_privs");
  }
  ASSIGN_OR_RETURN(const std::string program, FindProgram(args[0]));
  if (::close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
    return ErrnoStatus("marking descriptors close-on-exec");
  }
  if (before_program_) RETURN_IF_ERROR(before_program_());
  ::prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
  RETURN_IF_ERROR(SetExecLabels(proc_fd, process_));
  RETURN_IF_ERROR(outcome_.SendReady());
  std::vector<std::string> env = StringList(process_, "env");
  const std::vector<char*> argv = ExecPointers(args);
  const std::vector<char*> envp = ExecPointers(env);
  RETURN_IF_ERROR(filter.Load());
  ::execve(program.c_str(), argv.data(), envp.data());
  return ProgramError(errno, program);
}

absl::Status ProcessSetup::SetLimits() const {
  ::umask(0022);
  const Json& user = ObjectOf(process_, "user");
  if (user.contains("umask")) ::umask(static_cast<mode_t>(JsonInt(user, "umask") & 0777));
  return SetProcessLimits(process_);
}

absl::Status ProcessSetup::PlaceStreams() {
  int from[] = {io_.in, io_.out, io_.err};
  const uid_t uid = static_cast<uid_t>(JsonInt(ObjectOf(process_, "user"), "uid"));
  for (int& fd : from) {
    if (io_.terminal) fd = terminal_.get();
    if (fd < 0) {
      fd = null_.get();
      continue;
    }
    // /dev/stdout shall be openable by the user who is to write there. What cannot be given away (a
    // socket, a read-only file system) stays as it is.
    struct stat about = {};
    if (uid != 0 && ::fstat(fd, &about) == 0 && about.st_uid != uid &&
        ::fchown(fd, uid, static_cast<gid_t>(-1)) != 0) {
      continue;
    }
  }
  // A source below 3 could be overwritten before its turn.
  for (int& fd : from) {
    if (fd < 3 && (fd = ::fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) return ErrnoStatus("stdio");
  }
  for (int target = 0; target < 3; ++target) {
    if (::dup2(from[target], target) < 0) return ErrnoStatus("stdio");
  }
  if (io_.terminal && ::ioctl(0, TIOCSCTTY, 0) != 0) return ErrnoStatus("controlling terminal");
  return absl::OkStatus();
}

absl::Status ProcessSetup::EnterCwd(int root_fd, bool make) {
  const std::string cwd = JsonString(process_, "cwd", "/");
  if (cwd.empty() || cwd[0] != '/') {
    return absl::InvalidArgumentError(Cat("process.cwd \"", cwd, "\" is not absolute"));
  }
  const bool again = cwd_pending_;
  cwd_pending_ = false;
  absl::StatusOr<UniqueFd> folder =
      make ? MakeFoldersInRoot(root_fd, cwd) : OpenInRoot(root_fd, cwd, O_PATH | O_DIRECTORY);
  if (folder.ok() && ::fchdir(folder->get()) != 0) {
    folder = ErrnoStatus("entering it");
  }
  // A folder that root may not enter (a network file system), the user perhaps may.
  if (absl::IsPermissionDenied(folder.status()) && !again) {
    cwd_pending_ = true;
    return absl::OkStatus();
  }
  if (!folder.ok()) return Annotate(folder.status(), Cat("working directory \"", cwd, "\""));
  return CheckCwd();
}

// A working directory outside the root, by whatever trick, is the way to the host's files
// (CVE-2024-21626). The kernel says so: "(unreachable)/...".
absl::Status ProcessSetup::CheckCwd() const {
  char path[PATH_MAX + 16];
  if (::syscall(SYS_getcwd, path, sizeof path) < 0) return ErrnoStatus("getcwd");
  if (path[0] == '/') return absl::OkStatus();
  return absl::PermissionDeniedError("the working directory is outside the container's root");
}

absl::Status ProcessSetup::BecomeUser() const {
  const Json& user = ObjectOf(process_, "user");
  const uid_t uid = static_cast<uid_t>(JsonInt(user, "uid"));
  const gid_t gid = static_cast<gid_t>(JsonInt(user, "gid"));
  std::vector<gid_t> groups;
  for (const Json& group : ArrayOf(user, "additionalGids")) {
    if (group.is_number_integer()) groups.push_back(group.get<gid_t>());
  }
  if (groups.size() > kMaxGroups) return absl::InvalidArgumentError("too many additionalGids");
  if (::setgroups(groups.size(), groups.data()) != 0) return ErrnoStatus("setgroups");
  if (::syscall(SYS_setresgid, gid, gid, gid) != 0) return ErrnoStatus("setgid ", gid);
  if (uid != 0 && ::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return ErrnoStatus("keepcaps");
  if (::syscall(SYS_setresuid, uid, uid, uid) != 0) return ErrnoStatus("setuid ", uid);
  if (uid != 0 && ::prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0) return ErrnoStatus("keepcaps");
  return absl::OkStatus();
}

absl::Status ProcessSetup::ProgramError(int error, const std::string& name) const {
  return Errno(error, Cat("exec \"", name, "\" in container ", container_id_));
}

absl::StatusOr<std::string> ProcessSetup::FindProgram(const std::string& name) const {
  std::vector<std::string> candidates;
  const bool search = name.find('/') == std::string::npos;
  if (!search) {
    candidates.push_back(name);
  } else {
    std::string_view path = kDefaultPath;
    for (const Json& variable : ArrayOf(process_, "env")) {
      if (!variable.is_string()) continue;
      const std::string_view text = variable.get_ref<const std::string&>();
      if (text.substr(0, 5) == "PATH=") path = text.substr(5);
    }
    for (const std::string_view folder : Split(path, ':')) {
      candidates.push_back(JoinPath(folder.empty() ? "." : folder, name));
    }
  }
  int error = ENOENT;
  for (const std::string& candidate : candidates) {
    // Never through a magic link: /proc/self/exe is this process's own program (CVE-2019-5736).
    struct open_how how = {};
    how.flags = O_PATH | O_CLOEXEC;
    how.resolve = RESOLVE_NO_MAGICLINKS;
    const UniqueFd file(
        static_cast<int>(::syscall(SYS_openat2, AT_FDCWD, candidate.c_str(), &how, sizeof how)));
    struct stat about = {};
    int failure = 0;
    if (!file.valid() || ::fstat(file.get(), &about) != 0) {
      failure = errno;
    } else if (!S_ISREG(about.st_mode)) {
      failure = S_ISDIR(about.st_mode) ? EISDIR : EACCES;
    } else if (::faccessat(file.get(), "", X_OK, AT_EMPTY_PATH | AT_EACCESS) != 0) {
      failure = errno;
    }
    if (failure == 0) return candidate;
    if (failure != ENOENT && failure != ENOTDIR) error = failure;
  }
  if (error == ENOENT && search) {
    return absl::NotFoundError(Cat("exec \"", name, "\" in container ", container_id_,
                                   ": executable file not found in its PATH"));
  }
  return ProgramError(error, name);
}

}  // namespace crisp
