#include "pod/pod_state.h"

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "kernel/namespace.h"
#include "kernel/user_namespace.h"
#include "oci/apparmor.h"

namespace crisp {
namespace {

constexpr absl::Duration kAppArmorPatience = absl::Seconds(30);

}  // namespace

PodState::PodState(PodOptions its_options, Database& its_database, ImageStore& its_images,
                   NetworkChoice& its_networks)
    : options(std::move(its_options)),
      paths(options.root, options.state, options.netns_dir),
      database(its_database),
      images(its_images),
      networks(its_networks),
      criu(options.criu) {}

PodState::~PodState() {
  // Connections first, then the thread that serves them; the worker runs out what they left to do.
  for (const PodPointer& pod : table.Pods()) {
    if (const auto monitor = pod->monitor()) monitor->Close();
  }
  watcher.reset();
  worker.reset();
  trash.reset();
}

// A mount point that is there already need not be made in the writable layer, which costs a tenth
// of a millisecond each.
absl::Status PodState::MakeSkeleton() {
  for (const char* folder : {"dev", "proc", "sys", "etc"}) {
    RETURN_IF_ERROR(MakeFolders(Cat(paths.Skeleton(), "/", folder)));
  }
  RETURN_IF_ERROR(MakeFolders(paths.EmptyLayer()));
  for (const char* file : {"etc/hosts", "etc/hostname", "etc/resolv.conf"}) {
    const std::string path = Cat(paths.Skeleton(), "/", file);
    if (!PathExists(path)) RETURN_IF_ERROR(ReplaceFile(path, ""));
  }
  return absl::OkStatus();
}

absl::Status PodState::Open() {
  for (const std::string& folder : {options.root, options.state}) {
    if (folder.empty() || folder[0] != '/') {
      return absl::InvalidArgumentError(Cat("the folder \"", folder, "\" is no absolute path"));
    }
  }
  RETURN_IF_ERROR(MakeFolders(paths.Containers(), 0711));
  RETURN_IF_ERROR(MakeFolders(paths.Pods(), 0711));
  RETURN_IF_ERROR(MakeFolders(paths.Checkpoints(), 0700));
  RETURN_IF_ERROR(MakeSkeleton());
  RETURN_IF_ERROR(PrepareNetnsFolder(paths.NetnsFolder()));
  ASSIGN_OR_RETURN(const std::string boot, ReadFile("/proc/sys/kernel/random/boot_id", 128));
  boot_id = std::string(Trim(boot));
  ASSIGN_OR_RETURN(CgroupTree tree, CgroupTree::Detect(options.cgroup_root));
  cgroups = std::make_unique<CgroupTree>(std::move(tree));
  RETURN_IF_ERROR(ChooseCgroupDriver());
  limits = DaemonLimits::Probe();
  limits.user_namespaces = ProbeUserNamespaces(paths.Probe());
  if (!limits.user_namespaces.ok()) LOG_INFO("{}", limits.user_namespaces.ToString());
  if (limits.apparmor) {
    limits.apparmor_default =
        LoadDefaultAppArmorProfile(kAppArmorParser, Call{}.Within(kAppArmorPatience));
    if (!limits.apparmor_default.ok()) LOG_ERROR("{}", limits.apparmor_default.ToString());
  }
  const RuntimeFeatures native = {limits.recursive_read_only, limits.user_namespaces.ok()};
  handlers =
      std::make_unique<RuntimeHandlers>(options.runtime_handlers, options.default_runtime, native);
  ASSIGN_OR_RETURN(seccomp, SeccompCache::Open(paths.Seccomp()));
  ASSIGN_OR_RETURN(records, RecordStore::Open(database));
  ASSIGN_OR_RETURN(trash, Trash::Open(paths.Trash()));
  worker = std::make_unique<Worker>();
  ASSIGN_OR_RETURN(watcher, ExitWatcher::Start());
  absl::StatusOr<MonitorProgram> program = MonitorProgram::Open(options.monitor_path);
  if (program.ok()) {
    monitor_program = std::make_unique<MonitorProgram>(*std::move(program));
  } else {
    // Existing pods go on without it; Status tells that no new one can be run.
    monitor_error = program.status();
    LOG_ERROR("no pod can be run: {}", monitor_error.ToString());
  }
  return absl::OkStatus();
}

void Keep(absl::Status& first, const absl::Status& next) {
  if (next.ok()) return;
  if (first.ok()) {
    first = next;
  } else {
    LOG_WARN("also: {}", next.ToString());
  }
}

bool HostNetwork(const record::Pod& pod) {
  return pod.config().linux().security_context().namespace_options().network() == v1::NODE;
}

bool HostIpc(const record::Pod& pod) {
  return pod.config().linux().security_context().namespace_options().ipc() == v1::NODE;
}

bool SharesPids(const v1::PodSandboxConfig& config) {
  return config.linux().security_context().namespace_options().pid() == v1::POD;
}

bool MayRun(const record::Container& container) {
  return container.phase() == record::CONTAINER_STARTING ||
         container.phase() == record::CONTAINER_UP;
}

}  // namespace crisp
