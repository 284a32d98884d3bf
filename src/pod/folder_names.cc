#include "pod/folder_names.h"

#include <charconv>
#include <filesystem>

#include "base/log.h"

namespace crisp {

std::vector<std::string> NamesIn(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    names.push_back(entry.path().filename());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    LOG_ERROR("listing {}: {}", folder, error.message());
  }
  return names;
}

std::vector<pid_t> ProcessIds() {
  std::vector<pid_t> pids;
  for (const std::string& name : NamesIn("/proc")) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
  }
  return pids;
}

}  // namespace crisp
