#include "network/cni_cache.h"

#include <dirent.h>

#include "absl/strings/escaping.h"
#include "base/file.h"
#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kMostCacheBytes = 8 << 20;
constexpr size_t kMostCacheFiles = 65536;
constexpr const char* kKind = "cniCacheV1";

absl::StatusOr<CniAttachment> ReadAttachment(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(path, kMostCacheBytes));
  ASSIGN_OR_RETURN(const Json object, ParseJson(text, path));
  if (JsonString(object, "kind") != kKind)
    return absl::InvalidArgumentError(Cat(path, ": not of kind ", kKind));
  CniAttachment attachment;
  attachment.container_id = JsonString(object, "containerId");
  attachment.network = JsonString(object, "networkName");
  attachment.interface_name = JsonString(object, "ifName");
  attachment.netns = JsonString(object, "netns");
  if (!absl::Base64Unescape(JsonString(object, "config"), &attachment.config_text)) {
    return absl::InvalidArgumentError(Cat(path, ": config is not base64"));
  }
  if (const Json* args = JsonMember(object, "cniArgs"); args != nullptr && args->is_array()) {
    for (const Json& pair : *args) {
      if (pair.is_array() && pair.size() == 2 && pair[0].is_string() && pair[1].is_string()) {
        attachment.args.emplace_back(pair[0].get<std::string>(), pair[1].get<std::string>());
      }
    }
  }
  if (const Json* capabilities = JsonMember(object, "capabilityArgs"); capabilities != nullptr) {
    attachment.capability_args = *capabilities;
  }
  if (const Json* result = JsonMember(object, "result"); result != nullptr)
    attachment.result = *result;
  return attachment;
}

}  // namespace

std::string CniCache::Path(const std::string& network, const std::string& container_id,
                           const std::string& interface_name) const {
  return Cat(folder_, "/results/", network, "-", container_id, "-", interface_name);
}

absl::Status CniCache::Write(const CniAttachment& attachment) const {
  Json args = Json::array();
  for (const auto& [key, value] : attachment.args) args.push_back({key, value});
  const Json object = {{"kind", kKind},
                       {"containerId", attachment.container_id},
                       {"config", absl::Base64Escape(attachment.config_text)},
                       {"ifName", attachment.interface_name},
                       {"networkName", attachment.network},
                       {"netns", attachment.netns},
                       {"cniArgs", args},
                       {"capabilityArgs", attachment.capability_args},
                       {"result", attachment.result}};
  RETURN_IF_ERROR(MakeFolders(Cat(folder_, "/results"), 0700));
  return ReplaceFile(Path(attachment.network, attachment.container_id, attachment.interface_name),
                     JsonText(object), 0600);
}

absl::StatusOr<std::optional<CniAttachment>> CniCache::Read(
    const std::string& network, const std::string& container_id,
    const std::string& interface_name) const {
  absl::StatusOr<CniAttachment> attachment =
      ReadAttachment(Path(network, container_id, interface_name));
  if (absl::IsNotFound(attachment.status())) return std::nullopt;
  if (!attachment.ok()) return attachment.status();
  return std::optional<CniAttachment>(*std::move(attachment));
}

absl::Status CniCache::Remove(const std::string& network, const std::string& container_id,
                              const std::string& interface_name) const {
  return RemoveFile(Path(network, container_id, interface_name));
}

std::vector<CniAttachment> CniCache::List(const std::string& network) const {
  std::vector<CniAttachment> attachments;
  const std::string folder = Cat(folder_, "/results");
  DIR* open = opendir(folder.c_str());
  if (open == nullptr) return attachments;
  for (size_t seen = 0; seen < kMostCacheFiles; ++seen) {
    const dirent* entry = readdir(open);
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name.substr(0, network.size() + 1) != Cat(network, "-")) continue;
    absl::StatusOr<CniAttachment> attachment = ReadAttachment(Cat(folder, "/", name));
    if (attachment.ok() && attachment->network == network)
      attachments.push_back(*std::move(attachment));
  }
  closedir(open);
  return attachments;
}

}  // namespace crisp
