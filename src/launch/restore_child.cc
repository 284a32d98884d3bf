#include "launch/restore_child.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "base/file.h"
#include "base/status.h"
#include "kernel/rooted_path.h"
#include "launch/json_list.h"
#include "launch/restore_terminal.h"
#include "launch/rootfs.h"

namespace crisp {
namespace {

constexpr size_t kMaxDescriptors = 64 << 10;  // of descriptors.json

// The names that runc and crun gave these, and so the ones in everybody's images.
constexpr char kNetworkKey[] = "extRootNetNS";
constexpr char kPidKey[] = "extRootPidNS";

// CRIU makes these itself, with all that was in them.
bool InOwnFilesystem(const std::string& point) {
  for (const std::string_view top : {"/proc", "/sys", "/dev"}) {
    if (point == top || point.rfind(Cat(top, "/"), 0) == 0) return true;
  }
  return false;
}

absl::StatusOr<UniqueFd> Duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy.valid()) return ErrnoStatus("duplicating a descriptor");
  return copy;
}

}  // namespace

absl::Status RestoreChild::Run(const std::string& config_text, OutcomeChannel& outcome) {
  ASSIGN_OR_RETURN(config_, ParseJson(config_text, "config.json"));
  args_ = {request_.criu,
           "restore",
           "--images-dir",
           request_.images,
           "--work-dir",
           request_.work,
           "--log-file",
           kRestoreLog,
           "-v3",
           "--pidfile",
           kRestoredPid,
           "--restore-detached",
           "--restore-sibling",
           "--manage-cgroups=ignore",
           "--tcp-close",
           "--ext-unix-sk",
           "--file-locks",
           "--link-remap",
           "--weak-sysctls"};
  RETURN_IF_ERROR(JoinCgroup());
  RETURN_IF_ERROR(EnterNamespaces());
  RETURN_IF_ERROR(BuildRoot());
  RETURN_IF_ERROR(request_.start.io.terminal ? TakeTerminal(outcome) : TakeStreams());
  AddPlaces();
  if (::close_range(3, UINT_MAX, CLOSE_RANGE_CLOEXEC) != 0) {
    return ErrnoStatus("marking descriptors close-on-exec");
  }
  for (const auto& [fd, resource] : inherited_) {
    const int open = ::fcntl(fd.get(), F_DUPFD, 3);
    if (open < 0) return ErrnoStatus("duplicating a descriptor");
    args_.insert(args_.end(), {"--inherit-fd", Cat("fd[", open, "]:", resource)});
  }
  std::vector<char*> argv;
  for (std::string& one : args_) argv.push_back(one.data());
  argv.push_back(nullptr);
  // It runs tar for the content of file systems in memory.
  std::string path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  const std::array<char*, 2> environment = {path.data(), nullptr};
  RETURN_IF_ERROR(outcome.SendReady());
  ::execve(request_.criu.c_str(), argv.data(), environment.data());
  return ErrnoStatus("exec \"", request_.criu, "\"");
}

absl::Status RestoreChild::JoinCgroup() {
  if (cgroup_.path() == "/") return absl::OkStatus();
  RETURN_IF_ERROR(cgroup_.Apply(ObjectOf(ObjectOf(config_, "linux"), "resources")));
  return cgroup_.JoinSelf(in_v2_);
}

// CRIU joins what it is told to; what was not dumped is as CRIU itself has it.
absl::Status RestoreChild::EnterNamespaces() {
  for (const NamespacePlan::Join& one : namespaces_.join) {
    if (one.flag == CLONE_NEWIPC) {
      args_.insert(args_.end(), {"--join-ns", Cat("ipc:", one.path)});
      continue;
    }
    absl::StatusOr<UniqueFd> fd = OpenFile(one.path, O_RDONLY);
    if (!fd.ok()) return Annotate(fd.status(), "namespace to join");
    if (one.flag == CLONE_NEWNET) {
      inherited_.emplace_back(*std::move(fd), kNetworkKey);
    } else if (::setns(fd->get(), one.flag) != 0) {
      return ErrnoStatus("joining the namespace ", one.path);
    }
  }
  if (!namespaces_.pid_path.empty()) {
    ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(namespaces_.pid_path, O_RDONLY));
    inherited_.emplace_back(std::move(fd), kPidKey);
  }
  if (namespaces_.create_cgroup && ::unshare(CLONE_NEWCGROUP) != 0) {
    return ErrnoStatus("making a cgroup namespace");
  }
  return absl::OkStatus();
}

absl::Status RestoreChild::BuildRoot() {
  const StartRequest& start = request_.start;
  RETURN_IF_ERROR(CutOffMounts());
  ASSIGN_OR_RETURN(const UniqueFd root, AttachRoot(start.rootfs, start.bundle, config_));
  ASSIGN_OR_RETURN(root_, RootTarget(start.rootfs, start.bundle, config_));
  for (const RestoreRequest::External& one : request_.external) {
    if (InOwnFilesystem(one.key)) continue;
    struct stat about = {};
    if (::stat(one.source.c_str(), &about) != 0) return ErrnoStatus("mount source ", one.source);
    const auto kind = S_ISDIR(about.st_mode) ? MountpointKind::kFolder : MountpointKind::kFile;
    RETURN_IF_ERROR(MakeMountpoint(root.get(), one.key, kind).status());
  }
  return absl::OkStatus();
}

// descriptors.json, which the dump left beside the images, tells what the three were then.
absl::Status RestoreChild::TakeStreams() {
  const std::string file = JoinPath(request_.images, "descriptors.json");
  absl::StatusOr<std::string> text = ReadFile(file, kMaxDescriptors);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  RETURN_IF_ERROR(text.status());
  ASSIGN_OR_RETURN(const Json names, ParseJson(*text, "the checkpoint's descriptors.json"));
  if (!names.is_array()) {
    return absl::InvalidArgumentError("the checkpoint's descriptors.json is no list");
  }
  const ProcessIo& io = request_.start.io;
  const int ends[] = {io.in, io.out, io.err};
  const auto uid =
      static_cast<uid_t>(JsonInt(ObjectOf(ObjectOf(config_, "process"), "user"), "uid"));
  for (size_t i = 0; i < 3 && i < names.size(); ++i) {
    if (!names[i].is_string()) continue;
    const std::string& was = names[i].get_ref<const std::string&>();
    if (was.rfind("pipe:[", 0) != 0 || was.back() != ']') continue;
    // 0 is /dev/null here.
    ASSIGN_OR_RETURN(UniqueFd end, Duplicate(ends[i] >= 0 ? ends[i] : 0));
    // As at a start: /dev/stdout shall be openable by the user.
    if (uid != 0 && ends[i] >= 0) (void)!::fchown(end.get(), uid, static_cast<gid_t>(-1));
    inherited_.emplace_back(std::move(end), was);
  }
  return absl::OkStatus();
}

absl::Status RestoreChild::TakeTerminal(OutcomeChannel& outcome) {
  ASSIGN_OR_RETURN(RestoreTerminal made,
                   MakeRestoreTerminal(config_, request_.images, request_.work));
  RETURN_IF_ERROR(outcome.SendTerminal(made.ends.controller.get()));
  inherited_.emplace_back(std::move(made.ends.terminal), made.name);
  args_.insert(args_.end(), {"--external", Cat("mnt[/dev/pts]:", made.devpts)});
  args_.insert(args_.end(), {"--external", Cat("mnt[/dev/console]:", made.console)});
  return absl::OkStatus();
}

void RestoreChild::AddPlaces() {
  args_.insert(args_.end(), {"--root", root_});
  for (const RestoreRequest::External& one : request_.external) {
    args_.insert(args_.end(), {"--external", Cat("mnt[", one.key, "]:", one.source)});
  }
}

}  // namespace crisp
