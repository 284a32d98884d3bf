#include "network/cni_network.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "base/text.h"
#include "kernel/namespace.h"
#include "network/cni_result.h"

namespace crisp {
namespace {

constexpr const char* kInterface = "eth0";
constexpr absl::Duration kCleanUpTime = absl::Seconds(60);

constexpr const char* kCniMigrations[] = {
    "CREATE TABLE network_cni (pod TEXT PRIMARY KEY, network TEXT NOT NULL, config TEXT NOT NULL,"
    " netns TEXT NOT NULL, args TEXT NOT NULL, capabilities TEXT NOT NULL) WITHOUT ROWID;",
};

using Args = std::vector<std::pair<std::string, std::string>>;

// CNI_ARGS has no quoting.
absl::StatusOr<Args> CniArgs(const PodNetworkRequest& request) {
  Args args = {{"IgnoreUnknown", "1"},
               {"K8S_POD_NAMESPACE", request.ns},
               {"K8S_POD_NAME", request.name},
               {"K8S_POD_INFRA_CONTAINER_ID", request.pod_id},
               {"K8S_POD_UID", request.uid}};
  for (const auto& [key, value] : args) {
    if (value.find_first_of(std::string_view(";=\n\0", 4)) != std::string::npos) {
      return absl::InvalidArgumentError(Cat("network of pod ", request.pod_id, ": ", key,
                                            " holds a character that CNI_ARGS cannot carry"));
    }
  }
  return args;
}

std::string ArgsText(const Args& args) {
  std::string text;
  for (const auto& [key, value] : args) text += Cat(text.empty() ? "" : ";", key, "=", value);
  return text;
}

// What one plugin of the chain reads: its own configuration and what the specification adds to it.
Json PluginInput(const CniConfig& config, const CniPlugin& plugin, const CniAttachment& attachment,
                 const Json& previous) {
  Json input = plugin.config;
  input["name"] = config.name;
  input["cniVersion"] = config.version;
  Json runtime = Json::object();
  for (const std::string& capability : plugin.capabilities) {
    const Json* value = JsonMember(attachment.capability_args, capability);
    if (value != nullptr) runtime[capability] = *value;
  }
  if (!runtime.empty()) input["runtimeConfig"] = std::move(runtime);
  if (!previous.is_null()) input["prevResult"] = previous;
  return input;
}

absl::Status OfNetwork(const absl::Status& status, const CniConfig& config) {
  return status.ok() ? status : Annotate(status, Cat("CNI network ", config.name));
}

}  // namespace

absl::StatusOr<std::shared_ptr<CniNetwork>> CniNetwork::Open(const NetworkOptions& options,
                                                             Database& database) {
  RETURN_IF_ERROR(Migrate(database, "network_cni", kCniMigrations));
  return std::shared_ptr<CniNetwork>(new CniNetwork(options, database));
}

CniNetwork::CniNetwork(const NetworkOptions& options, Database& database)
    : options_(options), cache_(options.cni_cache_dir), database_(database) {
  SetConfig(nullptr,
            absl::FailedPreconditionError(Cat("no configuration in ", options.cni_conf_dir)));
}

void CniNetwork::SetConfig(std::shared_ptr<const CniConfig> config, absl::Status why_not) {
  absl::MutexLock lock(&mutex_);
  config_ = std::move(config);
  if (config_ == nullptr) {
    // kubelet users know these words.
    ready_ =
        WithCode(absl::StatusCode::kFailedPrecondition,
                 Annotate(why_not, "Network plugin returns error: cni plugin not initialized"));
  } else if (CniVersionAtLeast(config_->version, "1.1.0")) {
    ready_ = absl::UnavailableError(Cat("CNI network ", config_->name,
                                        ": its plugins have not been asked for their status yet"));
  } else {
    ready_ = absl::OkStatus();
  }
}

std::shared_ptr<const CniConfig> CniNetwork::Config() const {
  absl::MutexLock lock(&mutex_);
  return config_;
}

absl::Status CniNetwork::Ready() const {
  absl::MutexLock lock(&mutex_);
  return ready_;
}

CniInvocation CniNetwork::Invocation(std::string command, const CniAttachment& attachment) const {
  CniInvocation invocation;
  invocation.command = std::move(command);
  invocation.container_id = attachment.container_id;
  invocation.netns = attachment.netns;
  invocation.interface_name = attachment.interface_name;
  invocation.args = ArgsText(attachment.args);
  invocation.bin_dirs = options_.cni_bin_dirs;
  return invocation;
}

absl::StatusOr<Json> CniNetwork::RunAdd(const CniConfig& config, const CniAttachment& attachment,
                                        const Call& call) const {
  Json previous;
  for (const CniPlugin& plugin : config.plugins) {
    RETURN_IF_ERROR(call.Check());
    ASSIGN_OR_RETURN(const std::string output,
                     RunCniPlugin(plugin.type, Invocation("ADD", attachment),
                                  PluginInput(config, plugin, attachment, previous), call));
    absl::StatusOr<Json> result = ParseCniResult(output, config.version);
    if (!result.ok()) {
      return WithCode(absl::StatusCode::kInternal,
                      Annotate(result.status(), Cat("CNI plugin ", plugin.type, " (ADD)")));
    }
    previous = *std::move(result);
  }
  return previous;
}

absl::Status CniNetwork::RunDel(const CniConfig& config, const CniAttachment& attachment,
                                const Call& call) const {
  CniInvocation invocation = Invocation("DEL", attachment);
  if (!IsPinnedNamespace(attachment.netns)) invocation.netns.clear();
  const Json previous = CniVersionAtLeast(config.version, "0.4.0") ? attachment.result : Json();
  for (auto plugin = config.plugins.rbegin(); plugin != config.plugins.rend(); ++plugin) {
    RETURN_IF_ERROR(RunCniPlugin(plugin->type, invocation,
                                 PluginInput(config, *plugin, attachment, previous), call)
                        .status());
  }
  return absl::OkStatus();
}

absl::Status CniNetwork::RunCheck(const CniConfig& config, const CniAttachment& attachment,
                                  const Call& call) const {
  for (const CniPlugin& plugin : config.plugins) {
    RETURN_IF_ERROR(RunCniPlugin(plugin.type, Invocation("CHECK", attachment),
                                 PluginInput(config, plugin, attachment, attachment.result), call)
                        .status());
  }
  return absl::OkStatus();
}

absl::StatusOr<PodNetworkResult> CniNetwork::Add(const PodNetworkRequest& request,
                                                 const Call& call) {
  RETURN_IF_ERROR(call.Check());
  const std::shared_ptr<const CniConfig> config = Config();
  if (config == nullptr) {
    return absl::FailedPreconditionError(
        Cat("Network plugin returns error: cni plugin not initialized: no valid"
            " configuration in ",
            options_.cni_conf_dir));
  }
  // Left by an Add that was interrupted: plugins need not bear a second ADD without a DEL.
  ASSIGN_OR_RETURN(const std::optional<CniAttachment> earlier, Journaled(request.pod_id));
  if (earlier) RETURN_IF_ERROR(Del(request, "", call));

  CniAttachment attachment;
  attachment.container_id = request.pod_id;
  attachment.network = config->name;
  attachment.interface_name = kInterface;
  attachment.netns = request.netns_path;
  attachment.config_text = config->text;
  ASSIGN_OR_RETURN(attachment.args, CniArgs(request));
  ASSIGN_OR_RETURN(attachment.capability_args, CniCapabilityArgs(request));
  RETURN_IF_ERROR(
      database_.Run("INSERT OR REPLACE INTO network_cni (pod, network, config, netns, args, "
                    "capabilities) VALUES (?, ?, ?, ?, ?, ?)",
                    request.pod_id, config->name, config->text, request.netns_path,
                    ArgsText(attachment.args), JsonText(attachment.capability_args)));

  absl::StatusOr<Json> result = RunAdd(*config, attachment, call);
  absl::Status status = result.status();
  std::vector<std::string> ips;
  if (status.ok()) {
    ips = CniResultIps(*result, kInterface);
    if (ips.empty()) status = absl::InternalError("the plugins gave the pod no address");
  }
  if (status.ok()) {
    attachment.result = *result;
    status = cache_.Write(attachment);
  }
  if (!status.ok()) {
    Call clean_up;  // the caller may have gone, its network still has to go
    const absl::Status undone = Del(request, "", clean_up.Within(kCleanUpTime));
    if (!undone.ok())
      LOG_WARN("network: after a failed ADD for pod {}: {}", request.pod_id, undone.ToString());
    return OfNetwork(status, *config);
  }
  return PodNetworkResult{ips, JsonText({{"network", config->name}, {"interface", kInterface}})};
}

absl::StatusOr<std::optional<CniAttachment>> CniNetwork::Journaled(
    const std::string& pod_id) const {
  std::optional<CniAttachment> attachment;
  RETURN_IF_ERROR(database_.Query(
      "SELECT network, config, netns, args, capabilities FROM network_cni WHERE pod = ?", {pod_id},
      [&](const Row& row) {
        attachment.emplace();
        attachment->container_id = pod_id;
        attachment->network = row.Text(0);
        attachment->interface_name = kInterface;
        attachment->config_text = row.Text(1);
        attachment->netns = row.Text(2);
        const std::string args = row.Text(3);
        for (const std::string_view pair : SplitWords(args, ';')) {
          const size_t equals = pair.find('=');
          if (equals == std::string_view::npos) continue;
          attachment->args.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
        }
        const absl::StatusOr<Json> capabilities = ParseJson(row.Text(4), "capabilities");
        if (capabilities.ok()) attachment->capability_args = *capabilities;
        return absl::OkStatus();
      }));
  return attachment;
}

// The journal knows every pod whose plugins may have done anything; the result, if ADD got so far,
// is in the cache.
absl::StatusOr<std::optional<CniAttachment>> CniNetwork::Recorded(
    const PodNetworkRequest& request, const std::string& state_json) const {
  ASSIGN_OR_RETURN(std::optional<CniAttachment> attachment, Journaled(request.pod_id));
  std::string network = attachment ? attachment->network : "";
  if (!attachment && !state_json.empty()) {
    ASSIGN_OR_RETURN(const Json state,
                     ParseJson(state_json, Cat("network state of pod ", request.pod_id)));
    network = JsonString(state, "network");
  }
  if (!IsCniName(network)) return attachment;
  absl::StatusOr<std::optional<CniAttachment>> cached =
      cache_.Read(network, request.pod_id, kInterface);
  if (!cached.ok()) {
    // A damaged file must not make the pod unremovable: go on as if the ADD had not returned.
    LOG_WARN("network: {}", cached.status().ToString());
    return attachment;
  }
  if (!*cached) return attachment;
  if (!attachment) attachment = **cached;
  attachment->result = (*cached)->result;
  return attachment;
}

absl::Status CniNetwork::Del(const PodNetworkRequest& request, const std::string& state_json,
                             const Call& call) {
  RETURN_IF_ERROR(call.Check());
  ASSIGN_OR_RETURN(std::optional<CniAttachment> attachment, Recorded(request, state_json));
  if (!attachment) return absl::OkStatus();
  ASSIGN_OR_RETURN(
      const CniConfig config,
      ParseCniConfig(attachment->config_text, Cat("recorded for pod ", request.pod_id)));
  if (!attachment->result.is_null()) {
    absl::StatusOr<Json> result = CheckCniResult(attachment->result, config.version);
    attachment->result = result.ok() ? *result : Json();
  }
  RETURN_IF_ERROR(OfNetwork(RunDel(config, *attachment, call), config));
  RETURN_IF_ERROR(cache_.Remove(attachment->network, request.pod_id, attachment->interface_name));
  return database_.Run("DELETE FROM network_cni WHERE pod = ?", request.pod_id);
}

absl::Status CniNetwork::Check(const PodNetworkRequest& request, const std::string& state_json,
                               const Call& call) {
  RETURN_IF_ERROR(call.Check());
  ASSIGN_OR_RETURN(std::optional<CniAttachment> attachment, Recorded(request, state_json));
  if (!attachment || attachment->result.is_null()) {
    return absl::FailedPreconditionError(
        Cat("network of pod ", request.pod_id, ": no CNI result is recorded"));
  }
  ASSIGN_OR_RETURN(
      const CniConfig config,
      ParseCniConfig(attachment->config_text, Cat("recorded for pod ", request.pod_id)));
  if (config.disable_check || !CniVersionAtLeast(config.version, "0.4.0")) return absl::OkStatus();
  ASSIGN_OR_RETURN(attachment->result, CheckCniResult(attachment->result, config.version));
  return OfNetwork(RunCheck(config, *attachment, call), config);
}

absl::Status CniNetwork::ReleaseAllExcept(const std::set<std::string>& pod_ids, const Call& call) {
  std::vector<PodNetworkRequest> gone;
  RETURN_IF_ERROR(database_.Query("SELECT pod, netns FROM network_cni", {}, [&](const Row& row) {
    if (pod_ids.count(row.Text(0)) != 0) return absl::OkStatus();
    PodNetworkRequest request;
    request.pod_id = row.Text(0);
    request.netns_path = row.Text(1);
    gone.push_back(std::move(request));
    return absl::OkStatus();
  }));
  absl::Status first_error;
  for (const PodNetworkRequest& request : gone) {
    RETURN_IF_ERROR(call.Check());
    LOG_INFO("network: releasing what is left of pod {}", request.pod_id);
    const absl::Status status = Del(request, "", call);
    if (first_error.ok()) first_error = status;
  }
  if (const absl::Status status = RunGc(pod_ids, call); first_error.ok()) first_error = status;
  return first_error;
}

absl::Status CniNetwork::RunGc(const std::set<std::string>& pod_ids, const Call& call) {
  const std::shared_ptr<const CniConfig> config = Config();
  if (config == nullptr || config->disable_gc || !CniVersionAtLeast(config->version, "1.1.0"))
    return absl::OkStatus();
  // What is cached is valid: ours that are not, have just been removed, and the rest is another
  // runtime's.
  std::set<std::pair<std::string, std::string>> valid;
  for (const std::string& pod : pod_ids) valid.emplace(pod, kInterface);
  for (const CniAttachment& attachment : cache_.List(config->name)) {
    valid.emplace(attachment.container_id, attachment.interface_name);
  }
  Json attachments = Json::array();
  for (const auto& [container, interface] : valid)
    attachments.push_back({{"containerID", container}, {"ifname", interface}});
  CniInvocation invocation;
  invocation.command = "GC";
  invocation.bin_dirs = options_.cni_bin_dirs;
  absl::Status first_error;
  for (const CniPlugin& plugin : config->plugins) {
    Json input = PluginInput(*config, plugin, CniAttachment(), Json());
    input["cni.dev/valid-attachments"] = attachments;
    const absl::Status status = RunCniPlugin(plugin.type, invocation, input, call).status();
    if (first_error.ok()) first_error = OfNetwork(status, *config);
  }
  return first_error;
}

void CniNetwork::AskStatus(const Call& call) {
  const std::shared_ptr<const CniConfig> config = Config();
  if (config == nullptr || !CniVersionAtLeast(config->version, "1.1.0")) return;
  CniInvocation invocation;
  invocation.command = "STATUS";
  invocation.bin_dirs = options_.cni_bin_dirs;
  absl::Status answer;
  for (const CniPlugin& plugin : config->plugins) {
    answer = RunCniPlugin(plugin.type, invocation,
                          PluginInput(*config, plugin, CniAttachment(), Json()), call)
                 .status();
    if (!answer.ok()) break;
  }
  absl::MutexLock lock(&mutex_);
  if (config_ == config) ready_ = OfNetwork(answer, *config);
}

}  // namespace crisp
