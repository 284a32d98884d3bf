#include "cri/runtime_status.h"

#include "base/text.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

void AddCondition(const char* type, const char* reason, const absl::Status& status,
                  v1::RuntimeStatus& out) {
  v1::RuntimeCondition& condition = *out.add_conditions();
  condition.set_type(type);
  condition.set_status(status.ok());
  if (status.ok()) return;
  condition.set_reason(reason);
  condition.set_message(std::string(FromAbsl(status.message())));
}

}  // namespace

v1::VersionResponse VersionAnswer() {
  v1::VersionResponse out;
  out.set_version("0.1.0");  // of the kubelet's runtime API, which never changed it
  out.set_runtime_name("crisp");
  out.set_runtime_version(CRISP_VERSION);
  out.set_runtime_api_version("v1");
  return out;
}

std::vector<HandlerHealth> HandlersOf(const RuntimeHandlers& handlers) {
  std::vector<HandlerHealth> all(1);
  for (const RuntimeHandler& handler : handlers.all()) {
    const RuntimeFeatures features = handlers.FeaturesOf(handler);
    all.push_back({handler.name, features});
    if (handler.name == handlers.default_name()) all.front().features = features;
  }
  return all;
}

v1::StatusResponse StatusAnswer(const RuntimeHealth& health, bool verbose) {
  v1::StatusResponse out;
  AddCondition("RuntimeReady", "RuntimeNotReady", health.runtime, *out.mutable_status());
  AddCondition("NetworkReady", "NetworkPluginNotReady", health.network, *out.mutable_status());
  for (const HandlerHealth& one : health.handlers) {
    v1::RuntimeHandler& handler = *out.add_runtime_handlers();
    handler.set_name(one.name);
    handler.mutable_features()->set_recursive_read_only_mounts(
        one.features.recursive_read_only_mounts);
    handler.mutable_features()->set_user_namespaces(one.features.user_namespaces);
  }
  out.mutable_features()->set_supplemental_groups_policy(true);
  out.mutable_features()->set_user_namespaces_host_network(health.user_namespaces);
  out.mutable_features()->set_mount_options(true);
  if (verbose) (*out.mutable_info())["config"] = JsonText(health.facts);
  return out;
}

}  // namespace crisp
