// NodeState: what a node holds that a container runtime could leave behind, so that a test can
// compare before and after. Reads the namespaces of the caller. Any thread.
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

namespace crisp {

class NodeState {
 public:
  struct Scope {
    std::vector<std::string> folders;        // whose files count
    std::set<std::string> standing_folders;  // may appear and stay; what is in them counts
    std::vector<std::string> ignored_files;  // path prefixes that may come and go
    std::set<pid_t> ignored_processes;  // with their namespaces; this process is always ignored
  };

  static NodeState Take(const Scope& scope);

  // One line for everything that is here and was not there before: "mount /tmp/x", ...
  std::vector<std::string> NewSince(const NodeState& before) const;

 private:
  void AddMounts();
  void AddCgroups();
  void AddLinks();
  void AddRules();
  void AddFiles(const Scope& scope);
  void AddProcesses(const Scope& scope);

  std::map<std::string, std::multiset<std::string>> things_;  // by kind
};

}  // namespace crisp
