#include "pod/checkpoint_documents.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/status.h"

namespace crisp {

ConfigDump ConfigDumpOf(const record::Container& container, int64_t checkpointed_at) {
  ConfigDump config;
  config.id = container.id();
  config.name = container.config().metadata().name();
  config.rootfs_image = container.image_name();
  config.rootfs_image_ref = container.image_id();
  config.rootfs_image_name = container.image_name();
  config.runtime = kOwnRuntime;
  config.created = container.created_at();
  config.checkpointed = checkpointed_at;
  if (container.has_restore()) config.restored = container.started_at();
  return config;
}

Json StatusDumpJson(const record::Container& container) {
  return {{"id", container.id()},
          {"pid", container.pid()},
          {"status", "running"},
          {"created", TimeText(container.created_at())},
          {"started", TimeText(container.started_at())},
          {"podSandboxId", container.pod_id()},
          {"image", container.image_name()},
          {"imageId", container.image_id()},
          {"cgroupPath", container.cgroup_path()},
          {"attempt", container.config().metadata().attempt()}};
}

Json ContainerdStatusJson(const record::Container& container) {
  return {{"CreatedAt", container.created_at()},
          {"StartedAt", container.started_at()},
          {"FinishedAt", 0},
          {"ExitCode", 0},
          {"Pid", container.pid()},
          {"Reason", ""},
          {"Message", ""}};
}

Json NetworkStatusJson(const record::Pod& pod) {
  Json subnets = Json::array();
  for (const std::string& ip : pod.ips()) subnets.push_back({{"ipnet", ip}, {"gateway", ""}});
  if (subnets.empty()) return Json::object();
  Json network;
  network["interfaces"]["eth0"]["subnets"] = std::move(subnets);
  network["interfaces"]["eth0"]["mac_address"] = "";
  Json status;
  status[pod.network_kind()] = std::move(network);
  return status;
}

absl::Status CopyLog(const record::Container& container, const std::string& folder) {
  if (container.log_path().empty()) return absl::OkStatus();
  const absl::StatusOr<UniqueFd> log =
      OpenFile(container.log_path(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  struct stat about = {};
  // It may be rotated away just now.
  if (!log.ok() || fstat(log->get(), &about) != 0 || !S_ISREG(about.st_mode)) {
    return absl::OkStatus();
  }
  const std::string target = JoinPath(folder, BaseName(container.log_path()));
  if (PathExists(target)) return absl::OkStatus();  // named like a document
  ASSIGN_OR_RETURN(const UniqueFd copy, OpenFile(target, O_WRONLY | O_CREAT | O_EXCL, 0600));
  for (off_t left = about.st_size; left > 0;) {
    const ssize_t count =
        copy_file_range(log->get(), nullptr, copy.get(), nullptr, static_cast<size_t>(left), 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && (errno == EXDEV || errno == EINVAL || errno == EOPNOTSUPP)) {
      ASSIGN_OR_RETURN(const std::string rest,
                       ReadFd(log->get(), container.log_path(), size_t{256} << 20));
      return WriteAll(copy.get(), rest, target);
    }
    if (count < 0) return ErrnoStatus("copy the log ", container.log_path());
    if (count == 0) break;
    left -= count;
  }
  return absl::OkStatus();
}

}  // namespace crisp
