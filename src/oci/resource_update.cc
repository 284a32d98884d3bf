// UpdateContainerResources as a matter of data: old resources and an update make new ones, and a
// config.json with them.
#include "base/status.h"
#include "oci/spec.h"

namespace crisp {
namespace {

using Resources = runtime::v1::LinuxContainerResources;

void MergeHugePages(const Resources& update, Resources* merged) {
  for (const runtime::v1::HugepageLimit& limit : update.hugepage_limits()) {
    runtime::v1::HugepageLimit* place = nullptr;
    for (runtime::v1::HugepageLimit& old : *merged->mutable_hugepage_limits()) {
      if (old.page_size() == limit.page_size()) place = &old;
    }
    if (place == nullptr) place = merged->add_hugepage_limits();
    *place = limit;
  }
}

bool SpeaksOfMemory(const Resources& update) {
  return update.memory_limit_in_bytes() != 0 || update.memory_swap_limit_in_bytes() != 0;
}

}  // namespace

Resources MergeResources(const Resources& before, const Resources& update) {
  Resources merged = before;
  if (update.cpu_period() != 0) merged.set_cpu_period(update.cpu_period());
  if (update.cpu_quota() != 0) merged.set_cpu_quota(update.cpu_quota());
  if (update.cpu_shares() != 0) merged.set_cpu_shares(update.cpu_shares());
  if (!update.cpuset_cpus().empty()) merged.set_cpuset_cpus(update.cpuset_cpus());
  if (!update.cpuset_mems().empty()) merged.set_cpuset_mems(update.cpuset_mems());
  if (update.memory_limit_in_bytes() != 0) {
    merged.set_memory_limit_in_bytes(update.memory_limit_in_bytes());
  }
  if (SpeaksOfMemory(update)) {
    merged.set_memory_swap_limit_in_bytes(update.memory_swap_limit_in_bytes());
  }
  MergeHugePages(update, &merged);
  for (const auto& [file, value] : update.unified()) (*merged.mutable_unified())[file] = value;
  return merged;
}

Resources AskedPart(const Resources& update, const Resources& merged) {
  Resources part = update;
  part.clear_oom_score_adj();
  if (SpeaksOfMemory(update)) {
    // Both: on version 2 the one cannot be told without the other.
    part.set_memory_limit_in_bytes(merged.memory_limit_in_bytes());
    part.set_memory_swap_limit_in_bytes(merged.memory_swap_limit_in_bytes());
  }
  return part;
}

absl::Status ReplaceLimits(Json& config, const Json& built) {
  if (!config.is_object() || !config["linux"].is_object()) {
    return absl::InvalidArgumentError("config.json has no object \"linux\"");
  }
  Json& resources = config["linux"]["resources"];
  if (!resources.is_object()) resources = Json::object();
  for (const char* key : {"cpu", "memory", "hugepageLimits", "unified"}) {
    resources.erase(key);
    if (const Json* limits = JsonMember(built, key)) resources[key] = *limits;
  }
  return absl::OkStatus();
}

}  // namespace crisp
