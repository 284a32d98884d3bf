// crisp run: a pod with one container, from an image to its output.
#include <CLI/CLI.hpp>

#include "absl/cleanup/cleanup.h"
#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "cli/attach.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/run_arguments.h"
#include "cli/run_logs.h"
#include "cli/session.h"
#include "cli/stream_flags.h"
#include "cli/transfer.h"

namespace crisp {
namespace {

struct RunOptions {
  std::string image;
  std::vector<std::string> arguments;
  std::string name;
  std::string ns = "default";
  std::string hostname;
  std::string entrypoint;
  std::string user;
  std::string working_dir;
  std::vector<std::string> ports;
  std::vector<std::string> environment;
  std::vector<std::string> volumes;
  bool host_network = false;
  bool privileged = false;
  StreamFlags flags;
  bool detach = false;
  bool follow = false;
  bool remove = false;

  bool attach() const { return flags.any() && !detach; }
};

absl::Status EnsureImage(Session& session, const std::string& image) {
  cri::ImageStatusRequest ask;
  ask.mutable_image()->set_image(image);
  ASSIGN_OR_RETURN(const auto status, session.client().Call(ask));
  if (status.has_image()) return absl::OkStatus();
  operate::v1::PullImageRequest pull;
  pull.set_image(image);
  return PullShowingProgress(session, pull, session.json()).status();
}

absl::StatusOr<cri::PodSandboxConfig> PodConfig(const RunOptions& options,
                                                const std::string& logs_root) {
  cri::PodSandboxConfig out;
  auto& metadata = *out.mutable_metadata();
  metadata.set_name(options.name);
  metadata.set_namespace_(options.ns);
  metadata.set_uid(RandomId().substr(0, 32));
  out.set_hostname(options.hostname.empty() && !options.host_network ? options.name
                                                                     : options.hostname);
  out.set_log_directory(JoinPath(logs_root, metadata.uid()));
  auto& labels = *out.mutable_labels();
  labels["io.kubernetes.pod.name"] = metadata.name();
  labels["io.kubernetes.pod.namespace"] = metadata.namespace_();
  labels["io.kubernetes.pod.uid"] = metadata.uid();
  (*out.mutable_annotations())[kRunLogsAnnotation] = out.log_directory();
  for (const std::string& port : options.ports) {
    ASSIGN_OR_RETURN(*out.add_port_mappings(), ParsePort(port));
  }
  auto& namespaces = *out.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces.set_network(options.host_network ? cri::NODE : cri::POD);
  namespaces.set_pid(cri::CONTAINER);
  out.mutable_linux()->mutable_security_context()->set_privileged(options.privileged);
  return out;
}

// What kubelet gives a container that asks for nothing: the CRI itself has no such defaults.
void SetUsualProtection(cri::LinuxContainerSecurityContext& security) {
  for (const char* path :
       {"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
        "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
        "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}) {
    security.add_masked_paths(path);
  }
  for (const char* path :
       {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}) {
    security.add_readonly_paths(path);
  }
  security.mutable_seccomp()->set_profile_type(cri::SecurityProfile::RuntimeDefault);
}

absl::StatusOr<cri::ContainerConfig> ContainerConfig(const RunOptions& options,
                                                     const cri::PodSandboxConfig& pod) {
  cri::ContainerConfig out;
  out.mutable_metadata()->set_name(options.name);
  out.mutable_image()->set_image(options.image);
  out.mutable_image()->set_user_specified_image(options.image);
  if (!options.entrypoint.empty()) out.add_command(options.entrypoint);
  for (const std::string& argument : options.arguments) out.add_args(argument);
  out.set_working_dir(options.working_dir);
  out.set_log_path(options.name + ".log");
  out.set_tty(options.flags.terminal);
  // For one session, ours, which then gets what is written until it is there.
  out.set_stdin(options.flags.in || options.attach());
  out.set_stdin_once(options.attach());
  *out.mutable_labels() = pod.labels();
  (*out.mutable_labels())["io.kubernetes.container.name"] = options.name;
  for (const std::string& each : options.environment) {
    ASSIGN_OR_RETURN(*out.add_envs(), ParseEnvironment(each));
  }
  for (const std::string& each : options.volumes) {
    ASSIGN_OR_RETURN(*out.add_mounts(), ParseVolume(each));
  }
  auto& security = *out.mutable_linux()->mutable_security_context();
  *security.mutable_namespace_options() = pod.linux().security_context().namespace_options();
  if (options.privileged) {
    security.set_privileged(true);
  } else {
    SetUsualProtection(security);
  }
  if (!options.user.empty()) RETURN_IF_ERROR(ParseUser(options.user, security));
  return out;
}

// What run has made, and takes away again unless all went well.
struct Started {
  std::string pod_id;
  std::string container_id;
};

void RemovePod(Client& client, const std::string& pod_id, const std::string& logs) {
  cri::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(pod_id);
  const absl::Status removed = client.Call(request).status();
  if (!removed.ok()) {
    std::fprintf(stderr, "crisp: pod %s stays: %s\n", ShortId(pod_id).c_str(),
                 std::string(FromAbsl(removed.message())).c_str());
    return;
  }
  (void)RemoveTree(logs);
}

absl::StatusOr<Started> Start(Client& client, const cri::PodSandboxConfig& pod,
                              const cri::ContainerConfig& container) {
  Started out;
  cri::RunPodSandboxRequest run;
  *run.mutable_config() = pod;
  ASSIGN_OR_RETURN(const auto sandbox, client.Call(run));
  out.pod_id = sandbox.pod_sandbox_id();
  absl::Cleanup undo = [&] { RemovePod(client, out.pod_id, pod.log_directory()); };
  cri::CreateContainerRequest create;
  create.set_pod_sandbox_id(out.pod_id);
  *create.mutable_config() = container;
  *create.mutable_sandbox_config() = pod;
  ASSIGN_OR_RETURN(const auto created, client.Call(create));
  out.container_id = created.container_id();
  cri::StartContainerRequest start;
  start.set_container_id(out.container_id);
  RETURN_IF_ERROR(client.Call(start).status());
  std::move(undo).Cancel();
  return out;
}

absl::Status ShowStarted(Session& session, const Started& started, const std::string& name) {
  cri::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(started.pod_id);
  ASSIGN_OR_RETURN(const auto answer, session.client().Call(request));
  const std::string& address = answer.status().network().ip();
  if (session.json()) {
    PrintJson({{"pod_id", started.pod_id},
               {"container_id", started.container_id},
               {"name", name},
               {"address", address}});
    return absl::OkStatus();
  }
  Print(Cat("pod        ", started.pod_id, "\ncontainer  ", started.container_id, "\nname       ",
            name, "\naddress    ", address.empty() ? "the node's" : address, "\n"));
  return absl::OkStatus();
}

// Shows the output until the end and passes the exit code on.
absl::Status Follow(Session& session, const Started& started, const std::string& log_path) {
  CatchInterrupts();
  LogView view(log_path, {.json = session.json()}, WriteEntry);
  RETURN_IF_ERROR(view.ShowExisting());
  ASSIGN_OR_RETURN(const auto status,
                   FollowUntilExit(session.client(), started.container_id, view));
  session.exit_code = status ? status->exit_code() : 130;
  return absl::OkStatus();
}

bool HasExited(Client& client, const std::string& container_id) {
  cri::ContainerStatusRequest request;
  request.set_container_id(container_id);
  const auto answer = client.Call(request);
  return answer.ok() && answer->status().state() == cri::CONTAINER_EXITED;
}

// Joins our streams with the container's; of one that had ended before, its log tells all.
absl::Status Attach(Session& session, const Started& started, const StreamFlags& flags,
                    const std::string& log_path) {
  const absl::StatusOr<int> code = AttachTo(session.client(), started.container_id, flags);
  if (!code.ok() && HasExited(session.client(), started.container_id))
    return Follow(session, started, log_path);
  RETURN_IF_ERROR(code.status());
  session.exit_code = *code;
  return absl::OkStatus();
}

absl::Status Run(Session& session, RunOptions options) {
  if (options.name.empty()) options.name = NameFromImage(options.image);
  RETURN_IF_ERROR(EnsureImage(session, options.image));
  ASSIGN_OR_RETURN(const std::string logs_root, RunLogsRoot(session.client()));
  ASSIGN_OR_RETURN(const cri::PodSandboxConfig pod, PodConfig(options, logs_root));
  ASSIGN_OR_RETURN(const cri::ContainerConfig container, ContainerConfig(options, pod));
  ASSIGN_OR_RETURN(const Started started, Start(session.client(), pod, container));
  if (!options.attach() && !options.follow && !options.remove)
    return ShowStarted(session, started, options.name);
  const std::string log_path = JoinPath(pod.log_directory(), container.log_path());
  const absl::Status status = options.attach() ? Attach(session, started, options.flags, log_path)
                                               : Follow(session, started, log_path);
  if (options.remove) RemovePod(session.client(), started.pod_id, pod.log_directory());
  return status;
}

}  // namespace

void AddRun(CLI::App& app, Session& session) {
  auto options = std::make_shared<RunOptions>();
  CLI::App* command = AddCommand(app, session, "run",
                                 "Run a container in a pod of its own: crisp run [OPTIONS] IMAGE "
                                 "[ARGUMENT...]. The image is pulled if it is not here. With -i or "
                                 "-t crisp stays until it ends, and exits with its code.",
                                 Arguments::kRest);
  command->add_option("-n,--name", options->name, "name of pod and container [made from IMAGE's]");
  command->add_option("--namespace", options->ns, "the pod's namespace")->capture_default_str();
  command->add_option("--hostname", options->hostname, "the pod's host name [its name]");
  command
      ->add_option("-p,--publish", options->ports,
                   "[ADDRESS:]HOSTPORT:PODPORT[/PROTOCOL] to reach the pod by the node's port")
      ->allow_extra_args(false)
      ->type_name("PORTS");
  command->add_option("-e,--env", options->environment, "KEY=VALUE")
      ->allow_extra_args(false)
      ->type_name("SETTING");
  command->add_option("-v,--volume", options->volumes, "/ON/THE/NODE:/IN/THE/CONTAINER[:ro]")
      ->allow_extra_args(false)
      ->type_name("PATHS");
  command->add_option("-u,--user", options->user, "UID, UID:GID or NAME");
  command->add_option("-w,--workdir", options->working_dir, "working directory");
  command->add_option("--entrypoint", options->entrypoint, "program in place of the image's");
  command->add_flag("--host-network", options->host_network, "the node's network, no own one");
  command->add_flag("--privileged", options->privileged,
                    "all capabilities and devices of the node, no protection");
  AddStreamFlags(*command, options->flags);
  CLI::Option* detach = command->add_flag(
      "-d,--detach", options->detach, "only start it (the default without -i, -t, -f and --rm)");
  command
      ->add_flag("-f,--follow", options->follow,
                 "show the output until the container exits, and exit with its code")
      ->excludes(detach);
  command
      ->add_flag("--rm", options->remove, "--follow, unless -i or -t is given, then remove the pod")
      ->excludes(detach);
  command->add_option("image", options->image, "name or id of an image")->required();
  command->callback([&session, options, command] {
    options->arguments = RestOf(*command);
    session.Finish(Run(session, *options), kCannotRun);
  });
}

}  // namespace crisp
