// A localhost seccomp profile, from JSON to the BPF program.
#include <cstdint>
#include <cstdlib>

#include "base/json.h"
#include "kernel/seccomp.h"
#include "oci/seccomp_profile.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto profile =
      crisp::ParseJson({reinterpret_cast<const char*>(data), size}, "seccomp profile");
  if (!profile.ok()) return 0;
  const auto resolved = crisp::ResolveSeccompProfile(*profile, {"CAP_SYS_ADMIN"}, {"amd64", 6, 1});
  if (!resolved.ok()) return 0;
  const auto program = crisp::CompileSeccomp(*resolved);
  if (program.ok() && (program->empty() || program->size() % 8 != 0)) std::abort();
  return 0;
}
