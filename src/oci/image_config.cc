#include "oci/image_config.h"

#include <algorithm>

#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxBytes = 1 << 20;

// Reads one configuration; counts what it has taken, so that a hostile one stays small.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& config) : config_(config) {}

  absl::StatusOr<std::string> Text(const char* key) {
    const Json* member = Member(key);
    if (member == nullptr) return std::string();
    return Take(key, *member);
  }

  absl::StatusOr<std::vector<std::string>> List(const char* key) {
    std::vector<std::string> list;
    const Json* member = Member(key);
    if (member == nullptr) return list;
    if (!member->is_array()) return Refuse(key, "is no array");
    for (const Json& entry : *member) {
      ASSIGN_OR_RETURN(std::string text, Take(key, entry));
      list.push_back(std::move(text));
    }
    return list;
  }

  // The names of an object: {"/data": {}}.
  absl::StatusOr<std::vector<std::string>> Names(const char* key) {
    std::vector<std::string> names;
    const Json* member = Member(key);
    if (member == nullptr) return names;
    if (!member->is_object()) return Refuse(key, "is no object");
    for (const auto& [name, value] : member->items()) {
      ASSIGN_OR_RETURN(std::string text, Take(key, Json(name)));
      names.push_back(std::move(text));
    }
    return names;
  }

  absl::StatusOr<std::map<std::string, std::string>> Map(const char* key) {
    std::map<std::string, std::string> map;
    const Json* member = Member(key);
    if (member == nullptr) return map;
    if (!member->is_object()) return Refuse(key, "is no object");
    for (const auto& [name, value] : member->items()) {
      ASSIGN_OR_RETURN(std::string text, Take(key, value));
      map.emplace(name, std::move(text));
    }
    return map;
  }

 private:
  const Json* Member(const char* key) const {
    const Json* member = JsonMember(config_, key);
    return member == nullptr || member->is_null() ? nullptr : member;
  }
  static absl::Status Refuse(const char* key, std::string_view why) {
    return absl::InvalidArgumentError(Cat("image configuration: config.", key, " ", why));
  }
  absl::StatusOr<std::string> Take(const char* key, const Json& value) {
    if (!value.is_string()) return Refuse(key, "holds something else than text");
    const std::string& text = value.get_ref<const std::string&>();
    if (text.find('\0') != std::string::npos) return Refuse(key, "holds a NUL byte");
    bytes_ += text.size() + 16;
    if (bytes_ > kMaxBytes) return Refuse(key, "makes the configuration larger than 1 MiB");
    return text;
  }

  const Json& config_;
  size_t bytes_ = 0;
};

}  // namespace

absl::StatusOr<ImageConfig> ParseImageConfig(const Json& document) {
  if (!document.is_object()) {
    return absl::InvalidArgumentError("image configuration: the document is no JSON object");
  }
  ImageConfig image;
  const Json* config = JsonMember(document, "config");
  if (config == nullptr || config->is_null()) return image;
  if (!config->is_object()) {
    return absl::InvalidArgumentError("image configuration: \"config\" is no object");
  }
  ConfigReader reader(*config);
  ASSIGN_OR_RETURN(image.entrypoint, reader.List("Entrypoint"));
  ASSIGN_OR_RETURN(image.cmd, reader.List("Cmd"));
  ASSIGN_OR_RETURN(image.env, reader.List("Env"));
  ASSIGN_OR_RETURN(image.user, reader.Text("User"));
  ASSIGN_OR_RETURN(image.working_dir, reader.Text("WorkingDir"));
  ASSIGN_OR_RETURN(image.stop_signal, reader.Text("StopSignal"));
  ASSIGN_OR_RETURN(image.volumes, reader.Names("Volumes"));
  ASSIGN_OR_RETURN(image.labels, reader.Map("Labels"));
  std::sort(image.volumes.begin(), image.volumes.end());
  return image;
}

}  // namespace crisp
