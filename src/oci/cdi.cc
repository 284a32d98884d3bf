#include "oci/cdi.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "base/file.h"
#include "base/status.h"
#include "oci/mounts.h"

namespace crisp {
namespace {

constexpr size_t kMaxFile = 4 << 20;
constexpr size_t kMaxFiles = 1024;
constexpr size_t kMaxNames = 1024;
constexpr std::string_view kAnnotation = "cdi.k8s.io/";

std::vector<std::string> SpecFiles(const std::string& folder) {
  std::vector<std::string> paths;
  std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (open == nullptr) return paths;
  while (const dirent* entry = ::readdir(open.get())) {
    const std::string_view name = entry->d_name;
    if (name.starts_with('.') || paths.size() >= kMaxFiles) continue;
    if (name.ends_with(".json") || name.ends_with(".yaml") || name.ends_with(".yml")) {
      paths.push_back(JoinPath(folder, name));
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// All files of all folders.
class Registry {
 public:
  explicit Registry(const std::vector<std::string>& folders) {
    for (size_t i = 0; i < folders.size(); ++i) {
      for (const std::string& path : SpecFiles(folders[i])) Read(path, i);
    }
  }

  absl::StatusOr<CdiEdits> Resolve(const std::vector<std::string>& names) {
    CdiEdits edits;
    std::set<const CdiSpec*> used;
    for (const std::string& qualified : names) {
      std::string kind, name;
      SplitCdiName(qualified, &kind, &name);
      ASSIGN_OR_RETURN(const CdiSpec* spec, Find(qualified, kind, name));
      if (used.insert(spec).second) edits.Add(spec->edits);
      edits.Add(spec->devices.at(name));
    }
    return edits;
  }

 private:
  struct File {
    std::string path;
    size_t folder;
    CdiSpec spec;
  };

  void Read(const std::string& path, size_t folder) {
    absl::StatusOr<std::string> text = ReadFile(path, kMaxFile);
    absl::StatusOr<CdiSpec> spec = text.ok() ? ParseCdiSpec(*text, path) : text.status();
    if (spec.ok()) {
      files_.push_back(std::make_unique<File>(File{path, folder, *std::move(spec)}));
    } else if (damaged_.ok()) {
      damaged_ = spec.status();
    }
  }

  absl::StatusOr<const CdiSpec*> Find(const std::string& qualified, const std::string& kind,
                                      const std::string& name) const {
    const File* best = nullptr;
    const File* rival = nullptr;
    for (const std::unique_ptr<File>& file : files_) {
      if (file->spec.kind != kind || !file->spec.devices.contains(name)) continue;
      rival = best != nullptr && best->folder == file->folder ? best : nullptr;
      best = file.get();
    }
    if (best == nullptr) {
      return absl::InvalidArgumentError(
          Cat("CDI device ", qualified, " is in no specification",
              damaged_.ok() ? "" : Cat("; one is damaged: ", FromAbsl(damaged_.message()))));
    }
    if (rival != nullptr) {
      return absl::InvalidArgumentError(Cat("CDI device ", qualified, " is in both ", rival->path,
                                            " and ", best->path, "; remove it from one"));
    }
    return &best->spec;
  }

  std::vector<std::unique_ptr<File>> files_;
  absl::Status damaged_;
};

void SetVariable(Json& environment, const std::string& variable) {
  const std::string name = variable.substr(0, variable.find('=') + 1);
  for (Json& old : environment) {
    if (old.is_string() && old.get_ref<const std::string&>().starts_with(name)) {
      old = variable;
      return;
    }
  }
  environment.push_back(variable);
}

void ReplaceAt(Json& list, const char* key, Json item) {
  const std::string place = JsonString(item, key);
  for (Json& old : list) {
    if (JsonString(old, key) == place) {
      old = std::move(item);
      return;
    }
  }
  list.push_back(std::move(item));
}

// Fills in what the file leaves to the host, and looks whether the host has it.
absl::Status AddNode(CdiNode node, bool mapped, Json* config) {
  char resolved[PATH_MAX] = {};
  struct stat about = {};
  if (::realpath(node.host_path.c_str(), resolved) == nullptr || ::stat(resolved, &about) != 0) {
    return absl::InvalidArgumentError(Cat("CDI: device node ", node.host_path,
                                          " cannot be used: ", ErrnoStatus("stat").message()));
  }
  const bool block = S_ISBLK(about.st_mode), fifo = S_ISFIFO(about.st_mode);
  if (!block && !fifo && !S_ISCHR(about.st_mode)) {
    return absl::InvalidArgumentError(Cat("CDI: ", node.host_path, " is no device node"));
  }
  if (node.type.empty()) node.type = block ? "b" : fifo ? "p" : "c";
  if (node.major < 0) node.major = major(about.st_rdev);
  if (node.minor < 0) node.minor = minor(about.st_rdev);
  const Json* user = JsonMember((*config)["process"], "user");
  const auto owner = [&](int64_t asked, const char* key, int64_t hosts) {
    const int64_t process = user == nullptr ? 0 : JsonInt(*user, key);
    return asked >= 0 ? asked : process > 0 ? process : hosts;
  };
  Json& linux_part = (*config)["linux"];
  const std::string path = CleanPath(node.path);
  if (mapped) {
    ReplaceAt((*config)["mounts"], "destination",
              {{"destination", path},
               {"type", "bind"},
               {"source", resolved},
               {"options", {"bind", "rprivate", "nosuid", "noexec"}}});
  } else {
    ReplaceAt(linux_part["devices"], "path",
              {{"path", path},
               {"type", node.type},
               {"major", node.major},
               {"minor", node.minor},
               {"fileMode", node.mode >= 0 ? node.mode & 07777 : about.st_mode & 07777},
               {"uid", owner(node.uid, "uid", about.st_uid)},
               {"gid", owner(node.gid, "gid", about.st_gid)}});
  }
  if (node.type != "p") {
    linux_part["resources"]["devices"].push_back({{"allow", true},
                                                  {"type", node.type == "b" ? "b" : "c"},
                                                  {"major", node.major},
                                                  {"minor", node.minor},
                                                  {"access", node.permissions}});
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<std::string>> CdiNames(const runtime::v1::ContainerConfig& container) {
  std::vector<std::string> names;
  const auto add = [&](std::string_view field, std::string_view name) -> absl::Status {
    std::string kind, device;
    if (!SplitCdiName(name, &kind, &device)) {
      return absl::InvalidArgumentError(
          Cat(field, ": \"", name.substr(0, 256), "\" is no CDI device (vendor.com/class=name)"));
    }
    if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
    if (names.size() <= kMaxNames) return absl::OkStatus();
    return absl::InvalidArgumentError(Cat(field, ": too many CDI devices"));
  };
  for (const runtime::v1::CDIDevice& device : container.cdi_devices()) {
    RETURN_IF_ERROR(add("CDI_devices", device.name()));
  }
  // In the order of their keys, which the map has not.
  const std::map<std::string, std::string> annotations(container.annotations().begin(),
                                                       container.annotations().end());
  for (const auto& [key, value] : annotations) {
    if (!key.starts_with(kAnnotation)) continue;
    for (const std::string_view name : SplitWords(value, ',')) {
      RETURN_IF_ERROR(add(Cat("annotations: ", key), Trim(name)));
    }
  }
  return names;
}

absl::StatusOr<CdiEdits> ResolveCdi(const std::vector<std::string>& names,
                                    const std::vector<std::string>& folders) {
  return Registry(folders).Resolve(names);
}

absl::Status ApplyCdi(const CdiEdits& edits, bool mapped, Json* config) {
  Json& process = (*config)["process"];
  for (const std::string& variable : edits.env) SetVariable(process["env"], variable);
  for (const CdiNode& node : edits.nodes) RETURN_IF_ERROR(AddNode(node, mapped, config));
  for (const Json& mount : edits.mounts) ReplaceAt((*config)["mounts"], "destination", mount);
  SortMounts(&(*config)["mounts"]);
  for (const auto& [name, hooks] : edits.hooks) {
    Json& list = (*config)["hooks"][name];
    for (const Json& hook : hooks) list.push_back(hook);
  }
  Json& groups = process["user"]["additionalGids"];
  for (const uint32_t gid : edits.gids) {
    if (std::find(groups.begin(), groups.end(), Json(gid)) == groups.end()) groups.push_back(gid);
  }
  return absl::OkStatus();
}

}  // namespace crisp
