#include "daemon/daemon.h"

#include <grpcpp/impl/codegen/service_type.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "cri/image_service.h"
#include "cri/operator_service.h"
#include "cri/runtime_service.h"
#include "daemon/server.h"
#include "daemon/state_lock.h"
#include "db/database.h"
#include "image/image_store.h"
#include "kernel/namespace.h"
#include "network/network_choice.h"
#include "pod/event_hub.h"
#include "pod/runtime.h"
#include "stream/server.h"

namespace crisp {
namespace {

constexpr absl::Duration kStopGrace = absl::Seconds(2);

ImageStoreOptions ImageOptionsOf(const Config& config) {
  ImageStoreOptions options;
  for (const RegistryConfig& registry : config.registries) {
    options.registry.hosts.push_back({.host = registry.host,
                                      .mirrors = registry.mirrors,
                                      .plain_http = registry.plain_http,
                                      .insecure_skip_verify = registry.insecure,
                                      .ca_file = registry.ca_file,
                                      .client_cert = registry.client_cert,
                                      .client_key = registry.client_key});
  }
  options.registry.connect_timeout = absl::Seconds(config.image_connect_seconds);
  options.registry.silence_timeout = absl::Seconds(config.image_silence_seconds);
  options.registry.attempts = static_cast<int>(config.image_attempts);
  options.parallel_layers = static_cast<int>(config.image_parallel_layers);
  options.max_layer_bytes = static_cast<uint64_t>(config.image_max_layer_mib) << 20;
  options.max_layer_entries = static_cast<uint64_t>(config.image_max_layer_entries);
  options.max_layers = static_cast<uint32_t>(config.image_max_layers);
  options.pinned = config.image_pinned;
  return options;
}

NetworkOptions NetworkOptionsOf(const Config& config) {
  NetworkOptions options;
  options.mode = config.network_mode;
  options.bridge = config.network_bridge;
  options.subnets = config.network_subnets;
  options.masquerade = config.network_masquerade;
  options.mtu = static_cast<int>(config.network_mtu);
  options.cni_conf_dir = config.cni_conf_dir;
  options.cni_bin_dirs = config.cni_bin_dirs;
  options.cni_cache_dir =
      config.cni_cache_dir.empty() ? JoinPath(config.root, "cni") : config.cni_cache_dir;
  options.netns_dir = config.network_netns_dir;
  return options;
}

StreamServerOptions StreamOptionsOf(const Config& config) {
  return {.address = config.streaming_address,
          .port = static_cast<uint16_t>(config.streaming_port),
          .tls_cert = config.streaming_tls_cert,
          .tls_key = config.streaming_tls_key,
          .idle_timeout = absl::Seconds(config.streaming_idle_seconds),
          .creation_timeout = absl::Seconds(config.streaming_creation_seconds),
          .max_connections = static_cast<int>(config.streaming_max_connections)};
}

RuntimeHandler HandlerOf(const RuntimeConfig& runtime) {
  RuntimeHandler handler{runtime.name, runtime.path, runtime.args, runtime.kind == "runsc"};
  if (!handler.sandboxed) return handler;
  // The network stack of its own would take the pod's addresses for the first container alone.
  if (!runtime.HasFlag("network")) handler.args.push_back("--network=host");
  // Without it, a profile that the pod asks for would be passed over.
  if (!runtime.HasFlag("oci-seccomp")) handler.args.push_back("--oci-seccomp");
  return handler;
}

PodOptions PodOptionsOf(const Config& config, const std::string& monitor) {
  PodOptions options;
  options.root = config.root;
  options.state = config.state;
  options.netns_dir = config.network_netns_dir;
  options.monitor_path = monitor;
  options.cgroup_driver = config.cgroup_driver;
  options.cdi_folders = config.container_cdi_dirs;
  options.default_runtime = config.default_runtime;
  for (const RuntimeConfig& runtime : config.runtimes) {
    options.runtime_handlers.push_back(HandlerOf(runtime));
  }
  options.log_line_max = static_cast<uint64_t>(config.container_log_line_max);
  options.shm_bytes = static_cast<uint64_t>(config.container_shm_mib) << 20;
  options.criu = config.checkpoint_criu;
  options.restore_images = config.checkpoint_restore_images;
  return options;
}

// A pod costs the daemon a few descriptors; the usual soft limit of 1024 ends at some 200 pods.
// Called once the runtime knows the limits that containers inherit.
void RaiseFileLimit() {
  rlimit files = {};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0) return;
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
}

}  // namespace

// Members go in the reverse order: the server first, the locks last.
struct Daemon::Parts {
  std::vector<StateLock> locks;
  std::unique_ptr<Database> database;
  std::unique_ptr<ImageStore> images;
  std::unique_ptr<NetworkChoice> networks;
  std::unique_ptr<PodRuntime> runtime;
  std::unique_ptr<StreamServer> streams;
  std::vector<std::unique_ptr<grpc::Service>> services;
  std::unique_ptr<Server> server;
  std::thread warm_up;  // uses the runtime

  ~Parts() {
    if (warm_up.joinable()) warm_up.join();
  }
};

Daemon::Daemon(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
Daemon::~Daemon() = default;

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const Config& config) {
  auto parts = std::make_unique<Parts>();
  ASSIGN_OR_RETURN(const std::string monitor, FindMonitor(config));
  RETURN_IF_ERROR(MakeFolders(config.root, 0711));
  RETURN_IF_ERROR(MakeFolders(config.state, 0711));
  for (const std::string* folder : {&config.state, &config.root}) {
    ASSIGN_OR_RETURN(StateLock lock, StateLock::Take(*folder));
    parts->locks.push_back(std::move(lock));
    if (config.state == config.root) break;
  }
  ASSIGN_OR_RETURN(parts->database, Database::Open(JoinPath(config.root, "crisp.db")));
  ASSIGN_OR_RETURN(parts->images,
                   ImageStore::Open(config.root, *parts->database, ImageOptionsOf(config)));
  RETURN_IF_ERROR(PrepareNetnsFolder(config.network_netns_dir));
  ASSIGN_OR_RETURN(parts->networks,
                   NetworkChoice::Open(NetworkOptionsOf(config), *parts->database));
  ASSIGN_OR_RETURN(parts->runtime, PodRuntime::Open(PodOptionsOf(config, monitor), *parts->database,
                                                    *parts->images, *parts->networks));
  RaiseFileLimit();
  ASSIGN_OR_RETURN(parts->streams,
                   StreamServer::Start(StreamOptionsOf(config), parts->runtime->streams()));
  parts->services.push_back(MakeRuntimeService(*parts->runtime, *parts->networks, *parts->streams));
  parts->services.push_back(MakeImageService(*parts->images));
  parts->services.push_back(MakeOperatorService(*parts->images));
  std::vector<grpc::Service*> services;
  for (const auto& service : parts->services) services.push_back(service.get());
  const ServerOptions options{
      .socket_path = config.SocketPath(),
      .max_threads = static_cast<int>(config.server_threads),
      .max_message_bytes = static_cast<int>(config.server_message_mib << 20)};
  ASSIGN_OR_RETURN(parts->server, Server::Start(options, services));
  return std::unique_ptr<Daemon>(new Daemon(std::move(parts)));
}

void Daemon::WarmUp() {
  parts_->warm_up = std::thread([runtime = parts_->runtime.get()] {
    runtime->WarmUp();
    ::malloc_trim(0);
  });
}

void Daemon::Stop() {
  // Streams of events last for ever; they are no calls to be waited for.
  parts_->runtime->events().Close();
  parts_->server->Stop(kStopGrace);
  parts_->streams->Stop();
}

absl::StatusOr<std::string> FindMonitor(const Config& config) {
  std::string path = config.monitor;
  if (path.empty()) {
    std::error_code error;
    const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", error);
    if (error) return absl::InternalError(Cat("read /proc/self/exe: ", error.message()));
    path = self.parent_path() / "crisp-monitor";
  }
  if (::access(path.c_str(), X_OK) == 0) return path;
  return ErrnoStatus("the monitor's program ", path,
                     " cannot be used (key \"monitor\" names another)");
}

}  // namespace crisp
