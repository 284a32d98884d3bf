#include "oci/process.h"

#include <algorithm>
#include <unordered_map>

#include "base/file.h"
#include "base/status.h"
#include "oci/capabilities.h"
#include "oci/spec.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

constexpr std::string_view kDefaultPath =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Variables in the order of their first setting, each once.
class Environment {
 public:
  void Set(std::string variable) {
    const std::string name = variable.substr(0, variable.find('='));
    const auto [found, fresh] = places_.emplace(name, list_.size());
    if (fresh) {
      list_.push_back(std::move(variable));
    } else {
      list_[found->second] = std::move(variable);
    }
  }
  bool Has(const std::string& name) const { return places_.contains(name); }
  std::vector<std::string> Take() { return std::move(list_); }

 private:
  std::vector<std::string> list_;
  std::unordered_map<std::string, size_t> places_;
};

bool HasNul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

}  // namespace

absl::StatusOr<std::vector<std::string>> BuildArgs(const v1::ContainerConfig& container,
                                                   const ImageConfig& image) {
  std::vector<std::string> args(container.command().begin(), container.command().end());
  const bool own_command = !args.empty();
  if (!own_command && !(image.entrypoint.size() == 1 && image.entrypoint[0].empty())) {
    args = image.entrypoint;
  }
  if (container.args_size() > 0) {
    args.insert(args.end(), container.args().begin(), container.args().end());
  } else if (!own_command) {
    args.insert(args.end(), image.cmd.begin(), image.cmd.end());
  }
  if (args.empty()) {
    return absl::InvalidArgumentError(
        "command: nothing to run: neither the container nor its image names a command");
  }
  if (args[0].empty()) return absl::InvalidArgumentError("command: the program's name is empty");
  for (const std::string& arg : args) {
    if (HasNul(arg)) return absl::InvalidArgumentError("command: an argument holds a NUL byte");
  }
  return args;
}

absl::StatusOr<std::vector<std::string>> BuildEnvironment(const v1::ContainerConfig& container,
                                                          const ImageConfig& image,
                                                          const std::string& hostname,
                                                          const std::string& home) {
  Environment environment;
  environment.Set(std::string(kDefaultPath));
  if (!hostname.empty()) environment.Set(Cat("HOSTNAME=", hostname));
  if (container.tty()) environment.Set("TERM=xterm");
  for (const std::string& variable : image.env) {
    // An image may hold "NAME" alone, or nothing sensible: no reason to refuse it.
    if (variable.empty() || variable.front() == '=' || HasNul(variable)) continue;
    environment.Set(variable.find('=') == std::string::npos ? variable + "=" : variable);
  }
  for (const v1::KeyValue& variable : container.envs()) {
    if (variable.key().empty() || variable.key().find('=') != std::string::npos ||
        HasNul(variable.key()) || HasNul(variable.value())) {
      return absl::InvalidArgumentError(
          Cat("envs: \"", variable.key().substr(0, 128), "\" is no variable of an environment"));
    }
    environment.Set(Cat(variable.key(), "=", variable.value()));
  }
  if (!environment.Has("HOME")) environment.Set(Cat("HOME=", home));
  return environment.Take();
}

absl::StatusOr<User> BuildUser(const v1::ContainerConfig& container, const ImageConfig& image) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  UserRequest request;
  request.username = context.run_as_username();
  if (context.has_run_as_user()) request.uid = context.run_as_user().value();
  if (context.has_run_as_group()) request.gid = context.run_as_group().value();
  request.extra_groups.assign(context.supplemental_groups().begin(),
                              context.supplemental_groups().end());
  request.strict = context.supplemental_groups_policy() == v1::Strict;
  if (!v1::SupplementalGroupsPolicy_IsValid(context.supplemental_groups_policy())) {
    return absl::InvalidArgumentError(
        "linux.security_context.supplemental_groups_policy is unknown");
  }
  request.image_user = image.user;
  return LookUpUser(request, image.passwd, image.group);
}

absl::StatusOr<Json> BuildProcess(const v1::ContainerConfig& container, const ImageConfig& image,
                                  const std::string& hostname, const User& user,
                                  const DaemonLimits& limits,
                                  std::set<std::string>* bounding_capabilities) {
  const v1::LinuxContainerSecurityContext& context = container.linux().security_context();
  ASSIGN_OR_RETURN(std::vector<std::string> args, BuildArgs(container, image));
  ASSIGN_OR_RETURN(std::vector<std::string> environment,
                   BuildEnvironment(container, image, hostname, user.home));
  ASSIGN_OR_RETURN(CapabilitySets capabilities,
                   BuildCapabilities(context.capabilities(), context.privileged(),
                                     limits.bounding_capabilities));
  const std::string& folder =
      container.working_dir().empty() ? image.working_dir : container.working_dir();
  if (HasNul(folder)) return absl::InvalidArgumentError("working_dir holds a NUL byte");
  Json process = {
      {"terminal", container.tty()},
      {"user", {{"uid", user.uid}, {"gid", user.gid}, {"additionalGids", user.groups}}},
      {"args", std::move(args)},
      {"env", std::move(environment)},
      {"cwd", CleanPath(Cat("/", folder))},
      {"capabilities", CapabilitiesJson(capabilities)},
      {"noNewPrivileges", context.no_new_privs()},
      {"oomScoreAdj",
       std::max<int64_t>(container.linux().resources().oom_score_adj(), limits.min_oom_score_adj)},
  };
  for (const ResourceLimit& limit : limits.rlimits) {
    process["rlimits"].push_back(
        {{"type", limit.type}, {"soft", limit.soft}, {"hard", limit.hard}});
  }
  *bounding_capabilities = std::move(capabilities.bounding);
  return process;
}

absl::StatusOr<Json> BuildExecProcess(const Json& config_process,
                                      const std::vector<std::string>& cmd,
                                      const std::optional<TerminalSize>& terminal) {
  if (cmd.empty() || cmd[0].empty()) return absl::InvalidArgumentError("cmd is empty");
  for (const std::string& arg : cmd) {
    if (HasNul(arg)) return absl::InvalidArgumentError("cmd: an argument holds a NUL byte");
  }
  if (!config_process.is_object()) {
    return absl::InternalError("the container's config.json has no process object");
  }
  Json process = config_process;
  process["args"] = cmd;
  process["terminal"] = terminal.has_value();
  process.erase("consoleSize");
  if (terminal && terminal->columns > 0) {
    process["consoleSize"] = {{"width", terminal->columns}, {"height", terminal->rows}};
  }
  Json& environment = process["env"];
  if (terminal && environment.is_array() &&
      std::none_of(environment.begin(), environment.end(), [](const Json& variable) {
        return variable.is_string() && variable.get_ref<const std::string&>().starts_with("TERM=");
      })) {
    environment.push_back("TERM=xterm");
  }
  return process;
}

}  // namespace crisp
