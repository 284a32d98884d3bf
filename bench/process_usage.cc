#include "bench/process_usage.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>

#include "base/file.h"
#include "base/status.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace crisp {

namespace {

absl::Duration FromTicks(int64_t ticks) {
  return absl::Seconds(static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK)));
}

}  // namespace

absl::StatusOr<pid_t> ListenerOf(const std::string& socket_path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket_path.size() >= sizeof(address.sun_path))
    return absl::InvalidArgumentError(Cat("socket path too long: ", socket_path));
  std::memcpy(address.sun_path, socket_path.data(), socket_path.size());
  const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return ErrnoStatus("socket");
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0)
    return ErrnoStatus("connect to ", socket_path);
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
    return ErrnoStatus("peer of ", socket_path);
  return peer.pid;
}

std::vector<pid_t> ProcessesNamed(const std::string& name) {
  std::vector<pid_t> found;
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return found;
  while (const dirent* entry = readdir(proc)) {
    if (!std::isdigit(static_cast<unsigned char>(entry->d_name[0]))) continue;
    const auto comm = ReadFile(Cat("/proc/", entry->d_name, "/comm"));
    if (comm.ok() && Trim(*comm) == name.substr(0, 15)) found.push_back(std::atoi(entry->d_name));
  }
  closedir(proc);
  return found;
}

absl::StatusOr<MemoryUse> MemoryOf(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(Cat("/proc/", pid, "/smaps_rollup")));
  MemoryUse use;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string key;
    int64_t kib = 0;
    words >> key >> kib;
    if (key == "Pss:") use.pss_kib = kib;
    if (key == "Private_Clean:" || key == "Private_Dirty:") use.private_kib += kib;
  }
  return use;
}

absl::StatusOr<absl::Duration> ProcessorTimeOf(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(Cat("/proc/", pid, "/stat")));
  // The fields after the name, which may itself hold spaces and parentheses: state is field 3.
  std::istringstream words(text.substr(text.rfind(')') + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) words >> skipped;
  int64_t user = 0, system = 0, children_user = 0, children_system = 0;
  words >> user >> system >> children_user >> children_system;
  return FromTicks(user + system + children_user + children_system);
}

size_t DescriptorsOf(pid_t pid) {
  DIR* folder = opendir(Cat("/proc/", pid, "/fd").c_str());
  if (folder == nullptr) return 0;
  size_t count = 0;
  while (const dirent* entry = readdir(folder)) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

absl::Duration MachineBusyTime() {
  std::ifstream stat("/proc/stat");
  std::string label;
  int64_t user = 0, nice = 0, system = 0, idle = 0, iowait = 0, irq = 0, softirq = 0;
  stat >> label >> user >> nice >> system >> idle >> iowait >> irq >> softirq;
  return FromTicks(user + nice + system + irq + softirq);
}

}  // namespace crisp
