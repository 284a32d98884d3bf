#include "kernel/process_stats.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "base/file.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kMostProcesses = 1024;
constexpr uint64_t kMostDescriptors = 16384;  // of all processes together

void CountDescriptors(pid_t pid, ProcessFigures& figures) {
  std::unique_ptr<DIR, int (*)(DIR*)> folder(opendir(Cat("/proc/", pid, "/fd").c_str()), closedir);
  while (const dirent* entry = folder == nullptr ? nullptr : readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    if (++figures.descriptors > kMostDescriptors) return;
    char target[16];
    const ssize_t size = readlinkat(dirfd(folder.get()), entry->d_name, target, sizeof(target));
    if (size > 0 && std::string_view(target, static_cast<size_t>(size)).starts_with("socket:")) {
      ++figures.sockets;
    }
  }
}

}  // namespace

ProcessFigures CountProcesses(const std::vector<pid_t>& pids) {
  ProcessFigures figures;
  figures.processes = pids.size();
  for (size_t i = 0; i < pids.size() && i < kMostProcesses; ++i) {
    if (figures.descriptors >= kMostDescriptors) break;
    CountDescriptors(pids[i], figures);
  }
  return figures;
}

Figure OpenFilesLimit(pid_t pid) {
  const absl::StatusOr<std::string> text = ReadFile(Cat("/proc/", pid, "/limits"), 64 << 10);
  return text.ok() ? ParseOpenFilesLimit(*text) : std::nullopt;
}

Figure ParseOpenFilesLimit(std::string_view text) {
  constexpr std::string_view kName = "Max open files ";
  const size_t start = text.find(kName);
  if (start == std::string_view::npos) return std::nullopt;
  std::string_view rest = text.substr(start + kName.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  return ParseFigure(rest.substr(0, rest.find(' ')));
}

}  // namespace crisp
