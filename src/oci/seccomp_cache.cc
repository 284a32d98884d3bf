#include "oci/seccomp_cache.h"

#include <openssl/evp.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/id.h"
#include "base/status.h"
#include "kernel/seccomp.h"
#include "oci/seccomp_profile.h"

namespace crisp {
namespace {

constexpr size_t kMaxProfileBytes = 1 << 20;
constexpr size_t kMaxRemembered = 256;
// Changes with everything that makes another program of the same profile.
constexpr std::string_view kFormat = "crisp seccomp filter 1\n";

std::string Sha256(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr);
  return Hex({reinterpret_cast<const char*>(digest), size});
}

// A file that was cut off or emptied by a crash is no filter.
bool IsFilterFile(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0 &&
         info.st_size % 8 == 0;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SeccompCache>> SeccompCache::Open(const std::string& folder) {
  RETURN_IF_ERROR(MakeFolders(folder, 0700));
  return std::unique_ptr<SeccompCache>(new SeccompCache(folder));
}

absl::StatusOr<std::shared_ptr<const SeccompCache::Filter>> SeccompCache::Get(
    std::string_view profile_text, std::string_view name,
    const std::set<std::string>& capabilities) {
  // The default profile's own text never changes: no need to hash it each time.
  const bool is_default = profile_text.data() == DefaultSeccompProfile().data();
  std::string key = is_default ? "default" : Sha256(profile_text);
  for (const std::string& capability : capabilities) key += Cat(" ", capability);
  if (auto filter = Remembered(key)) return filter;
  absl::MutexLock one_at_a_time(&making_);
  if (auto filter = Remembered(key)) return filter;
  ASSIGN_OR_RETURN(const std::shared_ptr<const Filter> filter,
                   Make(profile_text, name, capabilities));
  absl::MutexLock lock(&mutex_);
  if (filters_.size() >= kMaxRemembered) filters_.clear();
  filters_[key] = filter;
  return filter;
}

std::shared_ptr<const SeccompCache::Filter> SeccompCache::Remembered(const std::string& key) {
  absl::MutexLock lock(&mutex_);
  const auto found = filters_.find(key);
  const bool usable = found != filters_.end() && IsFilterFile(found->second->bpf_path);
  return usable ? found->second : nullptr;
}

absl::StatusOr<std::shared_ptr<const SeccompCache::Filter>> SeccompCache::Make(
    std::string_view profile_text, std::string_view name,
    const std::set<std::string>& capabilities) const {
  if (profile_text.size() > kMaxProfileBytes) {
    return absl::InvalidArgumentError(Cat("seccomp profile ", name, " is larger than 1 MiB"));
  }
  ASSIGN_OR_RETURN(const Json profile, ParseJson(profile_text, Cat("seccomp profile ", name)));
  absl::StatusOr<Json> resolved =
      ResolveSeccompProfile(profile, capabilities, SeccompHost::Probe());
  if (!resolved.ok()) return Annotate(resolved.status(), name);
  auto filter = std::make_shared<Filter>();
  filter->oci = *std::move(resolved);
  const std::string digest =
      Sha256(Cat(kFormat, SeccompCompilerVersion(), "\n", JsonText(filter->oci)));
  filter->bpf_path = JoinPath(folder_, Cat(digest, ".bpf"));
  if (!IsFilterFile(filter->bpf_path)) {
    const absl::StatusOr<std::string> program = CompileSeccomp(filter->oci);
    if (!program.ok()) return Annotate(program.status(), name);
    RETURN_IF_ERROR(ReplaceFile(filter->bpf_path, *program, 0600, Durability::kSurvivesPower));
  }
  return std::shared_ptr<const Filter>(std::move(filter));
}

}  // namespace crisp
