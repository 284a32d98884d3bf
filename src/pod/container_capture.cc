#include "pod/container_capture.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "checkpoint/container_terminal.h"
#include "checkpoint/documents.h"
#include "checkpoint/external_mounts.h"
#include "checkpoint/folder_capture.h"
#include "oci/validate.h"
#include "pod/checkpoint_documents.h"

namespace crisp {
namespace {

constexpr size_t kMaxConfig = 8 << 20;

// The path of a namespace that config.json joins; empty if it has none such.
std::string NamespacePath(const Json& config, std::string_view type) {
  const Json* linux_part = JsonMember(config, "linux");
  const Json* list = linux_part == nullptr ? nullptr : JsonMember(*linux_part, "namespaces");
  if (list == nullptr || !list->is_array()) return "";
  for (const Json& one : *list) {
    if (JsonString(one, "type") == type) return JsonString(one, "path");
  }
  return "";
}

std::string LinkOf(const std::string& path) {
  char text[PATH_MAX] = {};
  const ssize_t size = readlink(path.c_str(), text, sizeof text - 1);
  return size > 0 ? std::string(text, static_cast<size_t>(size)) : "";
}

// A restore makes the terminal in a new /dev/pts, never on the host's.
absl::Status CheckDevpts(const std::vector<ExternalMount>& external) {
  for (const ExternalMount& mount : external) {
    if (mount.point == "/dev/pts") return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      "its terminal is not one of a /dev/pts of its own: such a one cannot be checkpointed");
}

absl::Status CheckKind(const record::Container& container, const record::Pod& pod) {
  if (!container.runtime_path().empty()) {
    return absl::FailedPreconditionError(
        Cat("container ", container.id(), " is run by ", container.runtime_path(),
            ": only those that crisp runs itself can be checkpointed"));
  }
  if (!UserNamespaceOf(pod.config()).empty()) {
    return absl::FailedPreconditionError(
        Cat("container ", container.id(),
            " is in a user namespace: such containers cannot be checkpointed"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ContainerCapture> ContainerCapture::Open(PodState& state,
                                                        const ContainerPointer& container,
                                                        std::string folder) {
  ContainerCapture capture(state, container, std::move(folder));
  if (capture.record_->phase() != record::CONTAINER_UP || !container->pod->monitor()) {
    return absl::FailedPreconditionError(
        Cat("container ", container->id, " is not running: there is nothing to checkpoint"));
  }
  RETURN_IF_ERROR(CheckKind(*capture.record_, *capture.pod_));
  for (const char* name : {kImagesFolder, kVolumesFolder}) {
    RETURN_IF_ERROR(MakeFolders(capture.File(name), 0700));
  }
  RETURN_IF_ERROR(capture.ReadBundle());
  RETURN_IF_ERROR(HasTerminal(capture.config_) ? capture.NoteTerminal() : capture.NoteStreams());
  return capture;
}

std::string ContainerCapture::File(std::string_view name) const { return JoinPath(folder_, name); }

absl::Status ContainerCapture::ReadBundle() {
  const std::string path =
      JoinPath(state_->paths.Bundle(record_->pod_id(), record_->id()), "config.json");
  ASSIGN_OR_RETURN(config_text_, ReadFile(path, kMaxConfig));
  ASSIGN_OR_RETURN(config_, ParseJson(config_text_, path));
  return absl::OkStatus();
}

// What the first process has as stdin, stdout and stderr: a restore connects their successors.
absl::Status ContainerCapture::NoteStreams() const {
  Json names = Json::array();
  for (int fd = 0; fd < 3; ++fd) names.push_back(LinkOf(Cat("/proc/", record_->pid(), "/fd/", fd)));
  return ReplaceFile(File(Cat(kImagesFolder, "/", kDescriptors)), JsonText(names), 0600);
}

// Which one it is: a restore makes another of that number.
absl::Status ContainerCapture::NoteTerminal() {
  absl::StatusOr<TerminalNumbers> terminal = TerminalOf(record_->pid());
  if (!terminal.ok()) return Annotate(terminal.status(), Cat("container ", record_->id()));
  terminal_ = terminal->CriuName();
  const Json numbers = {{"rdev", terminal->rdev}, {"dev", terminal->dev}};
  return ReplaceFile(File(Cat(kImagesFolder, "/", kTerminal)), JsonText(numbers), 0600);
}

absl::Status ContainerCapture::Freeze() const {
  return Annotate(cgroup_.Freeze(), Cat("container ", record_->id()));
}

void ContainerCapture::Thaw() const {
  absl::Status status = cgroup_.Thaw();
  if (status.ok() || absl::IsNotFound(status)) return;
  LOG_ERROR("container {} cannot be thawed after a checkpoint: {}", record_->id(),
            status.ToString());
}

absl::Status ContainerCapture::Take(const Call& call) {
  taken_at_ = absl::GetCurrentTimeNanos();
  absl::Status status = Dump(call);
  if (status.ok()) status = TakeFiles(call);
  return status.ok() ? status : Annotate(status, Cat("container ", record_->id()));
}

absl::Status ContainerCapture::Dump(const Call& call) {
  const pid_t pid = record_->pid();
  ASSIGN_OR_RETURN(external_, ExternalMountsOf(pid, config_));
  if (!terminal_.empty()) RETURN_IF_ERROR(CheckDevpts(external_));
  CriuDump dump;
  dump.terminal = terminal_;
  dump.pid = pid;
  dump.images = File(kImagesFolder);
  dump.work = folder_;
  dump.freezer = cgroup_.FreezerFolder();
  dump.external = external_;
  const auto inode = [&](const char* type, const char* file) -> uint64_t {
    if (NamespacePath(config_, type).empty()) return 0;
    return NamespaceInode(LinkOf(Cat("/proc/", pid, "/ns/", file)));
  };
  dump.netns = inode("network", "net");
  dump.pidns = inode("pid", "pid");
  dump.uts_path = NamespacePath(config_, "uts");
  return state_->criu.Dump(dump, call);
}

absl::Status ContainerCapture::TakeFiles(const Call& call) {
  const std::string& id = record_->id();
  FolderArchive upper;
  upper.folder = state_->paths.Upper(id);
  upper.overlay = true;
  upper.lower.assign(record_->layers().begin(), record_->layers().end());
  ASSIGN_OR_RETURN(deleted_, ArchiveFolder(upper, File(kRootfsDiff), call));
  for (size_t i = 0; PathExists(state_->paths.Volume(id, i)); ++i) {
    const std::string file = File(Cat(kVolumesFolder, "/", i, ".tar"));
    RETURN_IF_ERROR(ArchiveFolder({.folder = state_->paths.Volume(id, i)}, file, call).status());
  }
  if (HostIpc(*pod_)) return absl::OkStatus();
  return ArchiveFolder({.folder = state_->paths.Shm(pod_->id())}, File(kDevShm), call).status();
}

absl::Status ContainerCapture::Write(const char* name, const Json& document) const {
  return ReplaceFile(File(name), JsonText(document), 0600);
}

absl::Status ContainerCapture::WriteDocuments() const {
  RETURN_IF_ERROR(Write(kConfigDump, ConfigDumpJson(ConfigDumpOf(*record_, taken_at_))));
  RETURN_IF_ERROR(ReplaceFile(File(kSpecDump), config_text_, 0600));
  RETURN_IF_ERROR(Write(kStatusDump, StatusDumpJson(*record_)));
  RETURN_IF_ERROR(Write(kStatusFile, ContainerdStatusJson(*record_)));
  RETURN_IF_ERROR(Write(kNetworkStatus, NetworkStatusJson(*pod_)));
  RETURN_IF_ERROR(Write(kDeletedFiles, deleted_));
  const std::vector<BindSource> sources = BindSourcesOf(config_, "/");
  std::vector<BindMountDump> binds;
  for (const ExternalMount& mount : external_) {
    for (const BindSource& source : sources) {
      const bool below = mount.key.starts_with(Cat(source.key, "/"));
      if (mount.key != source.key && !below) continue;
      struct stat about = {};
      const std::string from = source.source + mount.key.substr(source.key.size());
      binds.push_back({from, mount.key, stat(from.c_str(), &about) == 0 && S_ISDIR(about.st_mode)});
      break;
    }
  }
  RETURN_IF_ERROR(Write(kBindMounts, BindMountsJson(binds)));
  return CopyLog(*record_, folder_);
}

}  // namespace crisp
