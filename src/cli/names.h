// Which pod or container the user means by a word: an id, a unique prefix of one, or a name. A
// pod's name may be given as namespace/name, a container's as pod/container. An exact id wins over
// a name, a name over a prefix. NotFound and InvalidArgument (ambiguous) say what there is. One
// thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client.h"

namespace crisp {

// What the daemon has, asked once.
struct Inventory {
  std::vector<cri::PodSandbox> pods;
  std::vector<cri::Container> containers;

  static absl::StatusOr<Inventory> Ask(Client& client);
  const cri::PodSandbox* PodOf(const cri::Container& container) const;
  std::vector<const cri::Container*> ContainersOf(const cri::PodSandbox& pod) const;
};

// Pointers into the inventory; exactly one is set.
struct Named {
  const cri::PodSandbox* pod = nullptr;
  const cri::Container* container = nullptr;
};

// A pod or a container. Where both have the name, the pod is meant.
absl::StatusOr<Named> FindNamed(const Inventory& inventory, std::string_view word);

// A container; a word that means a pod stands for its only container, or its only running one. Of
// several attempts with one name the latest is meant.
absl::StatusOr<const cri::Container*> FindContainer(const Inventory& inventory,
                                                    std::string_view word);

}  // namespace crisp
