// crisp update: other limits for a created or running container.
#include <CLI/CLI.hpp>

#include "base/status.h"
#include "cli/names.h"
#include "cli/output.h"
#include "cli/session.h"
#include "cli/update_arguments.h"

namespace crisp {
namespace {

struct UpdateOptions {
  std::vector<std::string> containers;
  std::string cpus;
  int64_t cpu_shares = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::string memory;
  std::string memory_swap;
  std::vector<std::string> hugepages;
};

absl::StatusOr<cri::LinuxContainerResources> ResourcesOf(const UpdateOptions& options) {
  cri::LinuxContainerResources out;
  if (!options.cpus.empty()) {
    ASSIGN_OR_RETURN(const int64_t quota, ParseCpus(options.cpus));
    out.set_cpu_quota(quota);
    out.set_cpu_period(100'000);
  }
  out.set_cpu_shares(options.cpu_shares);
  out.set_cpuset_cpus(options.cpuset_cpus);
  out.set_cpuset_mems(options.cpuset_mems);
  if (!options.memory.empty()) {
    ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(options.memory));
    out.set_memory_limit_in_bytes(bytes);
  }
  if (!options.memory_swap.empty()) {
    ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(options.memory_swap));
    out.set_memory_swap_limit_in_bytes(bytes);
  }
  for (const std::string& text : options.hugepages) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos) {
      return absl::InvalidArgumentError(
          Cat("huge pages \"", text, "\" are not understood; write SIZE=BYTES, such as 2MB=64M"));
    }
    ASSIGN_OR_RETURN(const int64_t bytes, ParseBytes(std::string_view(text).substr(equals + 1)));
    cri::HugepageLimit& limit = *out.add_hugepage_limits();
    limit.set_page_size(text.substr(0, equals));
    limit.set_limit(static_cast<uint64_t>(bytes));
  }
  if (out.ByteSizeLong() == 0) {
    return absl::InvalidArgumentError(
        "nothing to update: name a limit, such as --cpus or --memory (crisp update --help)");
  }
  return out;
}

absl::Status UpdateOne(Session& session, const Inventory& inventory, const std::string& name,
                       const cri::LinuxContainerResources& resources, Json& updated) {
  ASSIGN_OR_RETURN(const cri::Container* container, FindContainer(inventory, name));
  cri::UpdateContainerResourcesRequest request;
  request.set_container_id(container->id());
  *request.mutable_linux() = resources;
  RETURN_IF_ERROR(session.client().Call(request).status());
  updated.push_back(container->id());
  if (!session.json()) Print(name + "\n");
  return absl::OkStatus();
}

// One that fails does not keep the others from being updated.
absl::Status Update(Session& session, const UpdateOptions& options) {
  ASSIGN_OR_RETURN(const cri::LinuxContainerResources resources, ResourcesOf(options));
  ASSIGN_OR_RETURN(const Inventory inventory, Inventory::Ask(session.client()));
  Json updated = Json::array();
  for (const std::string& name : options.containers)
    session.Finish(UpdateOne(session, inventory, name, resources, updated));
  if (session.json()) PrintJson({{"updated", updated}});
  return absl::OkStatus();
}

}  // namespace

void AddUpdate(CLI::App& app, Session& session) {
  auto options = std::make_shared<UpdateOptions>();
  CLI::App* command = AddCommand(app, session, "update",
                                 "Change limits of created or running containers; what is not "
                                 "named stays. All of them hold at once, or none");
  command->add_option("--cpus", options->cpus, "processors that it may use, such as 1.5, or max");
  command
      ->add_option("--cpu-shares", options->cpu_shares, "relative weight; 1024 for one processor")
      ->check(CLI::Range(2, 262144));
  command->add_option("--cpuset-cpus", options->cpuset_cpus, "processors by number: 0-2,7");
  command->add_option("--cpuset-mems", options->cpuset_mems, "memory nodes by number: 0-1");
  command->add_option("-m,--memory", options->memory,
                      "bytes, such as 64M, or max; without --memory-swap it may not swap");
  command->add_option("--memory-swap", options->memory_swap,
                      "memory and swap together, such as 128M, or max");
  command->add_option("--hugepages", options->hugepages, "SIZE=BYTES, such as 2MB=64M");
  command->add_option("container", options->containers, "ids or names of containers or their pods")
      ->required();
  command->callback([&session, options] { session.Finish(Update(session, *options)); });
}

}  // namespace crisp
