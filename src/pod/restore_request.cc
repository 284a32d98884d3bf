#include "pod/restore_request.h"

#include "base/file.h"
#include "base/status.h"
#include "checkpoint/external_mounts.h"

namespace crisp {
namespace {

constexpr size_t kMaxConfig = 8 << 20;

// The container's own cgroup, where config.json wants to see it: as the launcher binds it.
void AddCgroups(const PodState& state, const std::string& cgroup, const std::string& place,
                monitor::RestoreContainer& message) {
  const auto add = [&](const std::string& key, const std::string& folder) {
    monitor::ExternalMount& mount = *message.add_external();
    mount.set_key(key);
    mount.set_source(JoinPath(folder, cgroup));
  };
  if (state.cgroups->version() == CgroupVersion::kV2) {
    return add(place, state.cgroups->Unified()->folder);
  }
  for (const CgroupHierarchy& hierarchy : state.cgroups->hierarchies()) {
    add(JoinPath(place, BaseName(hierarchy.folder)), hierarchy.folder);
  }
}

}  // namespace

absl::StatusOr<monitor::RestoreContainer> RestoreMessage(PodState& state,
                                                         const record::Container& container,
                                                         const Call& call) {
  RETURN_IF_ERROR(state.criu.Ready(call));
  const std::string bundle = state.paths.Bundle(container.pod_id(), container.id());
  const std::string path = JoinPath(bundle, "config.json");
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMaxConfig));
  ASSIGN_OR_RETURN(const Json config, ParseJson(text, path));
  monitor::RestoreContainer message;
  message.set_criu(state.criu.path());
  message.set_images(state.paths.RestoreImages(container.id()));
  message.set_work(state.paths.Container(container.id()));
  for (const BindSource& source : BindSourcesOf(config, bundle)) {
    monitor::ExternalMount& mount = *message.add_external();
    mount.set_key(source.key);
    mount.set_source(source.source);
  }
  for (const record::RestoreMount& below : container.restore().below()) {
    monitor::ExternalMount& mount = *message.add_external();
    mount.set_key(below.key());
    mount.set_source(below.source());
  }
  const std::string cgroup = Cgroup(*state.cgroups, container.cgroup_path()).path();
  if (const Json* mounts = JsonMember(config, "mounts"); mounts != nullptr) {
    for (const Json& mount : *mounts) {
      const std::string type = JsonString(mount, "type");
      if (type != "cgroup" && type != "cgroup2") continue;
      AddCgroups(state, cgroup, CleanPath(JsonString(mount, "destination")), message);
    }
  }
  return message;
}

}  // namespace crisp
