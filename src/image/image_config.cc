#include "image/image_config.h"

#include "base/json.h"
#include "base/status.h"
#include "registry/reference.h"

namespace crisp {

absl::StatusOr<std::vector<std::string>> ParseDiffIds(std::string_view config, size_t layers,
                                                      std::string_view name) {
  const auto bad = [&](std::string_view why) {
    return absl::InvalidArgumentError(Cat("config of image ", name, ": ", why));
  };
  ASSIGN_OR_RETURN(const Json json, ParseJson(config, Cat("config of image ", name)));
  const std::string os = JsonString(json, "os", "linux");
  if (os != "linux" && !os.empty())
    return bad(Cat("it is for ", std::string_view(os).substr(0, 40), ", not for linux"));
  const Json* rootfs = JsonMember(json, "rootfs");
  const Json* ids = rootfs == nullptr ? nullptr : JsonMember(*rootfs, "diff_ids");
  std::vector<std::string> diff_ids;
  if (ids != nullptr && ids->is_array()) {
    for (const Json& id : *ids) {
      if (!id.is_string() || !IsDigest(id.get_ref<const std::string&>()))
        return bad("a diff id is no sha256 digest");
      diff_ids.push_back(id.get<std::string>());
    }
  }
  if (diff_ids.size() != layers) {
    return bad(Cat("it lists ", diff_ids.size(), " layers, the manifest ", layers));
  }
  return diff_ids;
}

}  // namespace crisp
