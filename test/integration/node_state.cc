#include "test/integration/node_state.h"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/match.h"
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/text.h"

namespace crisp {

namespace {

std::string Output(std::vector<std::string> argv) {
  ProcessRequest request;
  request.argv = std::move(argv);
  request.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  const auto result = RunProcess(request, Call());
  return result.ok() ? result->stdout_data : std::string();
}

}  // namespace

NodeState NodeState::Take(const Scope& scope) {
  NodeState state;
  state.AddMounts();
  state.AddCgroups();
  state.AddLinks();
  state.AddRules();
  state.AddFiles(scope);
  state.AddProcesses(scope);
  return state;
}

std::vector<std::string> NodeState::NewSince(const NodeState& before) const {
  std::vector<std::string> lines;
  for (const auto& [kind, now] : things_) {
    const auto found = before.things_.find(kind);
    const std::multiset<std::string> none;
    const std::multiset<std::string>& then = found == before.things_.end() ? none : found->second;
    std::vector<std::string> added;
    std::set_difference(now.begin(), now.end(), then.begin(), then.end(),
                        std::back_inserter(added));
    for (const std::string& thing : added) lines.push_back(Cat(kind, " ", thing));
  }
  return lines;
}

void NodeState::AddMounts() {
  std::ifstream file("/proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // 36 35 98:0 /root /mount/point options ... - type source options
    const auto words = SplitWords(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || dash + 1 >= words.end()) continue;
    things_["mount"].insert(Cat(words[4], " of ", *(dash + 1), " ", words[3]));
  }
}

// The empty parent of all pods' cgroups ("crisp", right below a hierarchy's root) may stay.
void NodeState::AddCgroups() {
  std::error_code error;
  for (auto it = std::filesystem::recursive_directory_iterator("/sys/fs/cgroup", error);
       !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
    if (it->is_directory(error) && !it->is_symlink(error) && it->path().filename() != "crisp")
      things_["cgroup"].insert(it->path().string());
  }
}

// Bridges stay by intent; what was on them must not. Neighbours and addresses come with the links.
void NodeState::AddLinks() {
  const auto links = ParseJson(Output({"/usr/sbin/ip", "-json", "-details", "addr"}), "ip addr");
  if (!links.ok()) return;
  for (const Json& link : *links) {
    const std::string name = JsonString(link, "ifname");
    const Json* info = JsonMember(link, "linkinfo");
    if (info != nullptr && JsonString(*info, "info_kind") == "bridge") continue;
    things_["link"].insert(name);
    const Json* addresses = JsonMember(link, "addr_info");
    if (addresses == nullptr) continue;
    for (const Json& address : *addresses)
      things_["address"].insert(Cat(JsonString(address, "local"), " on ", name));
  }
}

// Elements of sets and maps: ports and addresses of pods. Tables, chains and rules stay by intent.
void NodeState::AddRules() {
  std::istringstream rules(Output({"/usr/sbin/nft", "list", "ruleset"}));
  for (std::string line; std::getline(rules, line);) {
    if (absl::StrContains(line, "elements")) things_["rule"].insert(std::string(Trim(line)));
  }
}

void NodeState::AddFiles(const Scope& scope) {
  const auto ignored = [&](const std::string& path) {
    return std::any_of(scope.ignored_files.begin(), scope.ignored_files.end(),
                       [&](const std::string& prefix) { return absl::StartsWith(path, prefix); });
  };
  for (const std::string& folder : scope.folders) {
    std::error_code error;
    for (auto it = std::filesystem::recursive_directory_iterator(folder, error);
         !error && it != std::filesystem::recursive_directory_iterator(); it.increment(error)) {
      const std::string path = it->path().string();
      if (ignored(path)) {
        it.disable_recursion_pending();
      } else if (!scope.standing_folders.contains(path)) {
        things_["file"].insert(path);
      }
    }
  }
}

void NodeState::AddProcesses(const Scope& scope) {
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return;
  while (const dirent* entry = readdir(proc)) {
    if (!std::isdigit(static_cast<unsigned char>(entry->d_name[0]))) continue;
    const pid_t pid = std::atoi(entry->d_name);
    if (pid == getpid() || scope.ignored_processes.contains(pid)) continue;
    const auto command = ReadFile(Cat("/proc/", pid, "/cmdline"));
    std::string words = command.ok() ? *command : "";
    std::replace(words.begin(), words.end(), '\0', ' ');
    if (words.empty()) continue;  // gone, or a zombie that its parent has yet to reap
    if (words.find("/llvm-symbolizer") != std::string::npos) continue;  // of a sanitizer
    things_["process"].insert(Cat(pid, " ", Trim(words)));
    for (const char* kind : {"mnt", "pid", "net", "ipc", "uts", "cgroup", "user"}) {
      char target[PATH_MAX];
      const ssize_t size =
          readlink(Cat("/proc/", pid, "/ns/", kind).c_str(), target, sizeof(target));
      if (size <= 0) continue;
      const std::string name(target, size);
      auto& namespaces = things_["namespace"];
      if (!namespaces.contains(name)) namespaces.insert(name);
    }
  }
  closedir(proc);
}

}  // namespace crisp
