#include "checkpoint/documents.h"

#include <sys/stat.h>

#include "absl/time/time.h"
#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxName = 4096;
constexpr size_t kMaxMounts = 10000;
constexpr size_t kMaxDeleted = 1 << 20;
constexpr size_t kMaxArgs = 10000;
constexpr size_t kMaxContainers = 400;

absl::Status Bad(std::string_view file, std::string_view why) {
  return absl::InvalidArgumentError(Cat(file, ": ", why));
}

// A place in a container, if CRIU's command line can name it.
void AddPlace(const Json& value, std::vector<std::string>* places) {
  if (!value.is_string() || places->size() >= kMaxMounts) return;
  const std::string& path = value.get_ref<const std::string&>();
  if (path.empty() || path.size() > kMaxName) return;
  if (path.find_first_of(std::string_view("]:\0", 3)) != path.npos) return;
  places->push_back(CleanPath(Cat("/", path)));
}

// A text field that is not absurd; absent is empty.
absl::Status Take(const Json& object, std::string_view file, const char* key, std::string* out) {
  const Json* value = JsonMember(object, key);
  if (value == nullptr || value->is_null()) return absl::OkStatus();
  if (!value->is_string()) return Bad(file, Cat(key, " is no text"));
  const std::string& text = value->get_ref<const std::string&>();
  if (text.size() > kMaxName || text.find('\0') != text.npos) {
    return Bad(file, Cat(key, " is longer than ", kMaxName, " bytes or holds a NUL"));
  }
  *out = text;
  return absl::OkStatus();
}

absl::Status TakeTime(const Json& object, std::string_view file, const char* key, int64_t* out) {
  std::string text;
  RETURN_IF_ERROR(Take(object, file, key, &text));
  if (text.empty()) return absl::OkStatus();
  absl::Time time;
  std::string why;
  if (!absl::ParseTime(absl::RFC3339_full, text, &time, &why)) {
    return Bad(file, Cat(key, " is no time of RFC 3339"));
  }
  *out = time < absl::UnixEpoch() ? 0 : absl::ToUnixNanos(time);
  return absl::OkStatus();
}

absl::StatusOr<Json> Parse(std::string_view text, std::string_view file, bool array) {
  ASSIGN_OR_RETURN(Json json, ParseJson(text, file));
  // An empty list of Go's is null.
  if (array && json.is_null()) return Json::array();
  if (array ? !json.is_array() : !json.is_object()) {
    return Bad(file, array ? "it is no list" : "it is no object");
  }
  return json;
}

}  // namespace

bool IsBindMount(const Json& mount) {
  if (JsonString(mount, "type") == "bind") return true;
  const Json* options = JsonMember(mount, "options");
  if (options == nullptr || !options->is_array()) return false;
  for (const Json& option : *options) {
    if (option == "bind" || option == "rbind") return true;
  }
  return false;
}

std::string TimeText(int64_t ns) {
  if (ns == 0) return "0001-01-01T00:00:00Z";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%E9SZ", absl::FromUnixNanos(ns), absl::UTCTimeZone());
}

Json ConfigDumpJson(const ConfigDump& config) {
  return {{"id", config.id},
          {"name", config.name},
          {"rootfsImage", config.rootfs_image},
          {"rootfsImageRef", config.rootfs_image_ref},
          {"rootfsImageName", config.rootfs_image_name},
          {"runtime", config.runtime},
          {"createdTime", TimeText(config.created)},
          {"checkpointedTime", TimeText(config.checkpointed)},
          {"restoredTime", TimeText(config.restored)},
          {"restored", config.restored != 0}};
}

absl::StatusOr<ConfigDump> ParseConfigDump(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text, kConfigDump, false));
  ConfigDump config;
  for (const auto& [key, field] : std::initializer_list<std::pair<const char*, std::string*>>{
           {"id", &config.id},
           {"name", &config.name},
           {"rootfsImage", &config.rootfs_image},
           {"rootfsImageRef", &config.rootfs_image_ref},
           {"rootfsImageName", &config.rootfs_image_name},
           {"runtime", &config.runtime}}) {
    RETURN_IF_ERROR(Take(json, kConfigDump, key, field));
  }
  RETURN_IF_ERROR(TakeTime(json, kConfigDump, "createdTime", &config.created));
  RETURN_IF_ERROR(TakeTime(json, kConfigDump, "checkpointedTime", &config.checkpointed));
  RETURN_IF_ERROR(TakeTime(json, kConfigDump, "restoredTime", &config.restored));
  if (config.rootfs_image_ref.empty()) {
    // Podman's word for it.
    RETURN_IF_ERROR(Take(json, kConfigDump, "rootfsImageID", &config.rootfs_image_ref));
  }
  if (config.rootfs_image.empty() && config.rootfs_image_ref.empty() &&
      config.rootfs_image_name.empty()) {
    return Bad(kConfigDump, "it does not say which image the container was made of");
  }
  return config;
}

Json BindMountsJson(const std::vector<BindMountDump>& mounts) {
  Json list = Json::array();
  for (const BindMountDump& mount : mounts) {
    list.push_back({{"source", mount.source},
                    {"destination", mount.destination},
                    {"file_type", mount.folder ? "directory" : "file"},
                    {"permissions", 0755}});
  }
  return list;
}

absl::StatusOr<std::vector<BindMountDump>> ParseBindMounts(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text, kBindMounts, true));
  if (json.size() > kMaxMounts) return Bad(kBindMounts, "it has too many entries");
  std::vector<BindMountDump> mounts;
  for (const Json& entry : json) {
    if (!entry.is_object()) return Bad(kBindMounts, "an entry is no object");
    BindMountDump mount;
    std::string type;
    RETURN_IF_ERROR(Take(entry, kBindMounts, "source", &mount.source));
    RETURN_IF_ERROR(Take(entry, kBindMounts, "destination", &mount.destination));
    RETURN_IF_ERROR(Take(entry, kBindMounts, "file_type", &type));
    if (!mount.destination.starts_with('/')) {
      return Bad(kBindMounts, "a destination is no absolute path");
    }
    mount.destination = CleanPath(mount.destination);
    mount.folder = type == "directory";
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

absl::StatusOr<std::vector<std::string>> ParseDeletedFiles(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text, kDeletedFiles, true));
  if (json.size() > kMaxDeleted) return Bad(kDeletedFiles, "it has too many entries");
  std::vector<std::string> deleted;
  for (const Json& entry : json) {
    if (!entry.is_string()) return Bad(kDeletedFiles, "an entry is no text");
    const std::string& path = entry.get_ref<const std::string&>();
    if (path.size() > kMaxName || path.find('\0') != path.npos) {
      return Bad(kDeletedFiles, "a path is longer than 4096 bytes or holds a NUL");
    }
    std::string clean = CleanPath(Cat("/", path));
    if (clean == "/") return Bad(kDeletedFiles, "the root cannot have been deleted");
    deleted.push_back(std::move(clean));
  }
  return deleted;
}

absl::StatusOr<SpecDump> ParseSpecDump(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text, kSpecDump, false));
  SpecDump spec;
  if (const Json* process = JsonMember(json, "process"); process != nullptr) {
    spec.terminal = JsonBool(*process, "terminal");
    const Json* args = JsonMember(*process, "args");
    if (args != nullptr && args->is_array() && args->size() <= kMaxArgs) {
      for (const Json& arg : *args) {
        if (!arg.is_string()) return Bad(kSpecDump, "process.args holds something that is no text");
        spec.args.push_back(arg.get<std::string>());
      }
    }
  }
  if (const Json* mounts = JsonMember(json, "mounts"); mounts != nullptr && mounts->is_array()) {
    for (const Json& mount : *mounts) {
      const Json* place = IsBindMount(mount) ? JsonMember(mount, "destination") : nullptr;
      if (place != nullptr) AddPlace(*place, &spec.binds);
    }
  }
  const Json* linux_part = JsonMember(json, "linux");
  const Json* masked = linux_part == nullptr ? nullptr : JsonMember(*linux_part, "maskedPaths");
  if (masked != nullptr && masked->is_array()) {
    for (const Json& path : *masked) AddPlace(path, &spec.masked);
  }
  const Json* namespaces = linux_part == nullptr ? nullptr : JsonMember(*linux_part, "namespaces");
  if (namespaces != nullptr && namespaces->is_array()) {
    for (const Json& one : *namespaces) {
      spec.user_namespace = spec.user_namespace || JsonString(one, "type") == "user";
    }
  }
  return spec;
}

Json PodOptionsJson(const PodOptionsDump& options, const Json& annotations) {
  Json containers = Json::object();
  for (const auto& [name, id] : options.containers) containers[name] = id;
  return {{"version", options.version},
          {"containers", std::move(containers)},
          {"annotations", annotations}};
}

absl::StatusOr<PodOptionsDump> ParsePodOptions(std::string_view text) {
  ASSIGN_OR_RETURN(const Json json, Parse(text, kPodOptions, false));
  PodOptionsDump options;
  options.version = JsonInt(json, "version");
  if (options.version != 1) {
    return absl::UnimplementedError(Cat(kPodOptions, ": version ", options.version,
                                        " of the format is not known here, only 1"));
  }
  const Json* containers = JsonMember(json, "containers");
  if (containers == nullptr || !containers->is_object() || containers->empty() ||
      containers->size() > kMaxContainers) {
    return Bad(kPodOptions, Cat("containers must be an object of 1 to ", kMaxContainers));
  }
  for (const auto& [name, id] : containers->items()) {
    // A name becomes a file's.
    if (name.empty() || name.size() > 200 || name.find('/') != name.npos ||
        name.find('\0') != name.npos || name.starts_with('.') || !id.is_string()) {
      return Bad(kPodOptions, "a container has no usable name or id");
    }
    options.containers.emplace_back(name, id.get<std::string>());
  }
  return options;
}

}  // namespace crisp
