#include "cli/names.h"

#include "base/status.h"
#include "base/text.h"
#include "cli/output.h"

namespace crisp {
namespace {

std::string FullName(const cri::PodSandbox& pod) {
  return Cat(pod.metadata().namespace_(), "/", pod.metadata().name());
}

bool Matches(const cri::PodSandbox& pod, std::string_view word) {
  return pod.metadata().name() == word || FullName(pod) == word;
}

bool Matches(const Inventory& inventory, const cri::Container& container, std::string_view word) {
  if (container.metadata().name() == word) return true;
  const cri::PodSandbox* pod = inventory.PodOf(container);
  return pod != nullptr && Cat(pod->metadata().name(), "/", container.metadata().name()) == word;
}

// Of several attempts of one container in one pod only the latest.
std::vector<const cri::Container*> Latest(std::vector<const cri::Container*> found) {
  std::vector<const cri::Container*> out;
  for (const cri::Container* container : found) {
    bool newer = false;
    for (const cri::Container* other : found) {
      newer |= other->pod_sandbox_id() == container->pod_sandbox_id() &&
               other->metadata().name() == container->metadata().name() &&
               (other->metadata().attempt() > container->metadata().attempt() ||
                (other->metadata().attempt() == container->metadata().attempt() &&
                 other->created_at() > container->created_at()));
    }
    if (!newer) out.push_back(container);
  }
  return out;
}

struct Found {
  std::vector<const cri::PodSandbox*> pods;
  std::vector<const cri::Container*> containers;
  bool empty() const { return pods.empty() && containers.empty(); }
};

Found Search(const Inventory& inventory, auto&& pod_matches, auto&& container_matches) {
  Found found;
  for (const auto& pod : inventory.pods)
    if (pod_matches(pod)) found.pods.push_back(&pod);
  for (const auto& container : inventory.containers)
    if (container_matches(container)) found.containers.push_back(&container);
  return found;
}

// By exact id, else by name, else by prefix of the id.
Found Search(const Inventory& inventory, std::string_view word) {
  const auto has_id = [&](const auto& each) { return each.id() == word; };
  Found found = Search(inventory, has_id, has_id);
  if (!found.empty() || word.empty()) return found;
  found = Search(
      inventory, [&](const auto& pod) { return Matches(pod, word); },
      [&](const auto& container) { return Matches(inventory, container, word); });
  found.containers = Latest(std::move(found.containers));
  if (!found.empty()) return found;
  const auto has_prefix = [&](const auto& each) { return each.id().starts_with(word); };
  return Search(inventory, has_prefix, has_prefix);
}

absl::Status None(std::string_view what, std::string_view word) {
  return absl::NotFoundError(Cat("there is no ", what, " with the name or id \"", word,
                                 "\"; `crisp ps --all` lists what there is"));
}

absl::Status Several(std::string_view word, const Found& found) {
  std::string list;
  for (const auto* pod : found.pods)
    list += Cat("\n  pod        ", ShortId(pod->id()), "  ", FullName(*pod));
  for (const auto* container : found.containers)
    list += Cat("\n  container  ", ShortId(container->id()), "  ", container->metadata().name());
  return absl::InvalidArgumentError(Cat("\"", word, "\" may mean any of these; use an id:", list));
}

absl::StatusOr<const cri::Container*> OnlyContainer(const Inventory& inventory,
                                                    const cri::PodSandbox& pod) {
  const auto all = Latest(inventory.ContainersOf(pod));
  std::vector<const cri::Container*> running;
  for (const auto* container : all)
    if (container->state() == cri::CONTAINER_RUNNING) running.push_back(container);
  if (all.size() == 1) return all.front();
  if (running.size() == 1) return running.front();
  if (all.empty()) return absl::NotFoundError(Cat("pod ", FullName(pod), " has no container"));
  std::string names;
  for (const auto* container : all)
    names += Cat(" ", pod.metadata().name(), "/", container->metadata().name());
  return absl::InvalidArgumentError(
      Cat("pod ", FullName(pod), " has several containers; name one of:", names));
}

}  // namespace

absl::StatusOr<Inventory> Inventory::Ask(Client& client) {
  Inventory out;
  ASSIGN_OR_RETURN(auto pods, client.Call(cri::ListPodSandboxRequest()));
  ASSIGN_OR_RETURN(auto containers, client.Call(cri::ListContainersRequest()));
  out.pods.assign(pods.items().begin(), pods.items().end());
  out.containers.assign(containers.containers().begin(), containers.containers().end());
  // The newest first, as people look for it.
  const auto newer = [](const auto& a, const auto& b) { return a.created_at() > b.created_at(); };
  std::stable_sort(out.pods.begin(), out.pods.end(), newer);
  std::stable_sort(out.containers.begin(), out.containers.end(), newer);
  return out;
}

const cri::PodSandbox* Inventory::PodOf(const cri::Container& container) const {
  for (const auto& pod : pods)
    if (pod.id() == container.pod_sandbox_id()) return &pod;
  return nullptr;
}

std::vector<const cri::Container*> Inventory::ContainersOf(const cri::PodSandbox& pod) const {
  std::vector<const cri::Container*> out;
  for (const auto& container : containers)
    if (container.pod_sandbox_id() == pod.id()) out.push_back(&container);
  return out;
}

absl::StatusOr<Named> FindNamed(const Inventory& inventory, std::string_view word) {
  const Found found = Search(inventory, word);
  if (found.empty()) return None("pod or container", word);
  if (found.pods.size() == 1 && (found.containers.empty() || Matches(*found.pods.front(), word)))
    return Named{.pod = found.pods.front()};
  if (found.pods.empty() && found.containers.size() == 1)
    return Named{.container = found.containers.front()};
  return Several(word, found);
}

absl::StatusOr<const cri::Container*> FindContainer(const Inventory& inventory,
                                                    std::string_view word) {
  const Found found = Search(inventory, word);
  if (found.empty()) return None("container", word);
  if (found.containers.size() == 1) return found.containers.front();
  if (found.containers.empty() && found.pods.size() == 1)
    return OnlyContainer(inventory, *found.pods.front());
  return Several(word, found);
}

}  // namespace crisp
