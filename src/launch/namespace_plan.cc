#include "launch/namespace_plan.h"

#include <sched.h>

#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

namespace crisp {
namespace {

constexpr size_t kMaxConfig = 8 << 20;

struct NamedNamespace {
  std::string type, path;
};

// Listens to the parser for linux.namespaces[].{type,path} and linux.cgroupsPath and forgets all
// else; depth is bounded, for the parser keeps one bit a level.
class NamespaceListener : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool string(string_t& value) override {
    if (depth_ == 2 && in_linux_ && key_ == "cgroupsPath") cgroups_path = value;
    if (depth_ == 4 && in_list_ && !found.empty()) {
      if (key_ == "type") found.back().type = value;
      if (key_ == "path") found.back().path = value;
    }
    return true;
  }
  bool start_object(std::size_t) override {
    if (++depth_ > 64) return false;
    if (depth_ == 2) in_linux_ = key_ == "linux";
    if (depth_ == 4 && in_list_) found.emplace_back();
    return found.size() <= 16;
  }
  bool key(string_t& value) override {
    key_ = value;
    return true;
  }
  bool end_object() override {
    if (depth_ == 2) in_linux_ = false;
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override {
    if (++depth_ > 64) return false;
    if (depth_ == 3) in_list_ = in_linux_ && key_ == "namespaces";
    return true;
  }
  bool end_array() override {
    if (depth_ == 3) {
      complete = complete || in_list_;
      in_list_ = false;
    }
    --depth_;
    return !(complete && !cgroups_path.empty());  // both known: the rest is of no interest
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    broken = true;
    return false;
  }

  std::vector<NamedNamespace> found;
  std::string cgroups_path;
  bool complete = false;
  bool broken = false;

 private:
  int depth_ = 0;
  bool in_linux_ = false;
  bool in_list_ = false;
  std::string key_;
};

int FlagOf(std::string_view type) {
  constexpr std::pair<std::string_view, int> kTypes[] = {
      {"mount", CLONE_NEWNS},  {"pid", CLONE_NEWPID},     {"ipc", CLONE_NEWIPC},
      {"uts", CLONE_NEWUTS},   {"network", CLONE_NEWNET}, {"cgroup", CLONE_NEWCGROUP},
      {"user", CLONE_NEWUSER}, {"time", CLONE_NEWTIME},
  };
  for (const auto& [name, flag] : kTypes) {
    if (name == type) return flag;
  }
  return 0;
}

absl::Status AddTo(NamespacePlan& plan, NamedNamespace named, uint64_t& seen) {
  const int flag = FlagOf(named.type);
  if (flag == 0) {
    return absl::InvalidArgumentError(Cat("config.json: unknown namespace \"", named.type, "\""));
  }
  if ((seen & flag) != 0) {
    return absl::InvalidArgumentError(Cat("config.json: two namespaces of type ", named.type));
  }
  seen |= flag;
  if (flag == CLONE_NEWTIME) {
    return absl::UnimplementedError("time namespaces are not supported");
  }
  if (flag == CLONE_NEWUSER) {
    if (named.path.empty()) {
      return absl::UnimplementedError(
          "a user namespace must be named by its path: making one is not the launcher's part");
    }
    plan.user_path = std::move(named.path);
    return absl::OkStatus();
  }
  if (flag == CLONE_NEWNS && !named.path.empty()) {
    return absl::UnimplementedError("joining a mount namespace by its path is not supported");
  }
  if (!named.path.empty() && flag == CLONE_NEWPID) {
    plan.pid_path = std::move(named.path);
  } else if (!named.path.empty()) {
    plan.join.push_back({flag, std::move(named.path)});
  } else if (flag == CLONE_NEWCGROUP) {
    plan.create_cgroup = true;
  } else {
    plan.create |= flag;
  }
  return absl::OkStatus();
}

}  // namespace

bool NamespacePlan::Has(int flag) const {
  if ((create & flag) != 0 || (flag == CLONE_NEWCGROUP && create_cgroup)) return true;
  if (flag == CLONE_NEWPID && !pid_path.empty()) return true;
  if (flag == CLONE_NEWUSER && !user_path.empty()) return true;
  for (const Join& one : join) {
    if (one.flag == flag) return true;
  }
  return false;
}

absl::StatusOr<std::string> ReadBundleConfig(const std::string& bundle) {
  return ReadFile(JoinPath(bundle, "config.json"), kMaxConfig);
}

absl::StatusOr<NamespacePlan> ReadNamespacePlan(std::string_view config_json) {
  NamespaceListener listener;
  Json::sax_parse(config_json.begin(), config_json.end(), &listener);
  if (listener.broken) return absl::InvalidArgumentError("config.json: not valid JSON");
  NamespacePlan plan;
  uint64_t seen = 0;
  for (NamedNamespace& named : listener.found) {
    RETURN_IF_ERROR(AddTo(plan, std::move(named), seen));
  }
  if ((plan.create & CLONE_NEWNS) == 0) {
    return absl::InvalidArgumentError(
        "config.json: linux.namespaces has no new mount namespace, which a container needs");
  }
  plan.cgroups_path = std::move(listener.cgroups_path);
  return plan;
}

}  // namespace crisp
