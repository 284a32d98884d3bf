#include "test/integration/test_folder.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdio>
#include <cstdlib>

#include "base/file.h"

namespace crisp {

void Die(const std::string& why) {
  std::fprintf(stderr, "integration test: %s\n", why.c_str());
  std::abort();
}

bool WaitUntil(const std::function<bool()>& done, absl::Duration limit) {
  const absl::Time end = absl::Now() + limit;
  while (!done()) {
    if (absl::Now() > end) return false;
    absl::SleepFor(absl::Milliseconds(10));
  }
  return true;
}

TestFolder::TestFolder() {
  char path[] = "/tmp/crisp-test-XXXXXX";
  if (mkdtemp(path) == nullptr) std::abort();
  chmod(path, 0755);
  path_ = path;
}

TestFolder::~TestFolder() {
  if (!keep_) (void)RemoveTree(path_);
}

std::string ProgramFolder() {
  char path[PATH_MAX];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
  return FolderOf(std::string(path, size > 0 ? size : 0));
}

}  // namespace crisp
