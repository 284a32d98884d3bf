#include "cri/image_reply.h"

#include <charconv>

#include "base/json.h"
#include "base/text.h"

namespace crisp {
namespace {

// USER of the config without its ":group".
std::string UserOf(const ImageRecord& record) {
  const auto config = ParseJson(record.config_json, "image config");
  if (!config.ok()) return "";
  const Json* inner = JsonMember(*config, "config");
  if (inner == nullptr) return "";
  const std::string user = JsonString(*inner, "User");
  return user.substr(0, user.find(':'));
}

}  // namespace

runtime::v1::Image ImageMessage(const ImageRecord& record) {
  runtime::v1::Image out;
  out.set_id(record.id);
  for (const std::string& tag : record.repo_tags) out.add_repo_tags(tag);
  for (const std::string& digest : record.repo_digests) out.add_repo_digests(digest);
  out.set_size(record.size);
  out.set_pinned(record.pinned);
  out.mutable_spec()->set_image(record.id);
  const std::string user = UserOf(record);
  int64_t uid = 0;
  const char* const end = user.data() + user.size();
  const auto [last, error] = std::from_chars(user.data(), end, uid);
  if (user.empty()) {
    out.mutable_uid()->set_value(0);
  } else if (error == std::errc() && last == end) {
    out.mutable_uid()->set_value(uid);
  } else {
    out.set_username(user);
  }
  return out;
}

std::map<std::string, std::string> ImageInfo(const ImageRecord& record) {
  Json info;
  info["id"] = record.id;
  info["pulledAt"] = record.pulled_at;
  info["layers"] = record.layer_folders;
  const auto config = ParseJson(record.config_json, "image config");
  info["imageSpec"] = config.ok() ? *config : Json();
  return {{"info", JsonText(info)}};
}

RegistryCredentials CredentialsOf(const runtime::v1::AuthConfig& auth) {
  return {.username = auth.username(),
          .password = auth.password(),
          .auth = auth.auth(),
          .server_address = auth.server_address(),
          .identity_token = auth.identity_token(),
          .registry_token = auth.registry_token()};
}

absl::StatusOr<std::string> ImageNameOf(bool has_image, const runtime::v1::ImageSpec& image) {
  if (!has_image || image.image().empty())
    return absl::InvalidArgumentError("the request names no image: image.image is empty");
  return image.image();
}

}  // namespace crisp
