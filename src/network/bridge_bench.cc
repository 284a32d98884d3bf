// bridge_bench: what one pod's network costs. Run it as `tools/private-namespaces bridge_bench
// [rounds]`: it adds and removes pods with real namespaces and prints the median and the 95th
// percentile of each step, in milliseconds.
#include <stdlib.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/id.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/namespace.h"
#include "network/bridge_network.h"

namespace crisp {
namespace {

struct Step {
  const char* name;
  std::vector<double> times = {};
};

template <typename Body>
void Time(Step& step, Body body) {
  const absl::Time start = absl::Now();
  const absl::Status status = body();
  step.times.push_back(absl::ToDoubleMilliseconds(absl::Now() - start));
  if (!status.ok()) {
    std::fprintf(stderr, "%s: %s\n", step.name, status.ToString().c_str());
    std::exit(1);
  }
}

void Print(Step& step) {
  std::sort(step.times.begin(), step.times.end());
  const size_t count = step.times.size();
  std::printf("%-28s %8.3f %8.3f\n", step.name, step.times[count / 2],
              step.times[count * 95 / 100]);
}

int Main(int rounds, bool with_port) {
  char folder[] = "/tmp/crisp-bench-XXXXXX";
  if (mkdtemp(folder) == nullptr) return 1;
  const std::string netns = JoinPath(folder, "netns");
  if (!PrepareNetnsFolder(netns).ok()) return 1;
  auto database = Database::Open(JoinPath(folder, "crisp.db"));
  auto network = BridgeNetwork::Open(NetworkOptions(), **database);
  Step pin{"pin network namespace"}, pin3{"pin net, ipc, uts"}, add{"Add"}, del{"Del"},
      unpin{"unpin"};
  for (int i = 0; i < rounds; ++i) {
    PodNetworkRequest request;
    request.pod_id = RandomId();
    request.netns_path = JoinPath(netns, request.pod_id);
    if (with_port) request.ports = {{"tcp", 80, 20000 + i, ""}};
    const std::string ipc = request.netns_path + "-ipc", uts = request.netns_path + "-uts";
    Time(pin, [&] {
      return PinNamespaces({{NamespaceKind::kNetwork, request.netns_path}}, "", {});
    });
    (void)UnpinNamespace(request.netns_path);
    Time(pin3, [&] {
      return PinNamespaces({{NamespaceKind::kNetwork, request.netns_path},
                            {NamespaceKind::kIpc, ipc},
                            {NamespaceKind::kUts, uts}},
                           "bench", {{"net.ipv4.ip_unprivileged_port_start", "0"}});
    });
    std::string state;
    Time(add, [&] {
      auto added = (*network)->Add(request, Call());
      if (added.ok()) state = added->state_json;
      return added.status();
    });
    Time(del, [&] { return (*network)->Del(request, state, Call()); });
    Time(unpin, [&] {
      (void)UnpinNamespace(ipc);
      (void)UnpinNamespace(uts);
      return UnpinNamespace(request.netns_path);
    });
  }
  std::printf("%-28s %8s %8s   (%d rounds%s)\n", "step", "median", "p95", rounds,
              with_port ? ", one host port" : "");
  for (Step* step : {&pin, &pin3, &add, &del, &unpin}) Print(*step);
  (void)std::system(Cat("umount -l ", netns, "; rm -rf ", folder).c_str());
  return 0;
}

}  // namespace
}  // namespace crisp

int main(int argc, char** argv) {
  if (!crisp::StartLog("warn").ok()) return 1;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 200;
  const int without = crisp::Main(rounds, false);
  return without != 0 ? without : crisp::Main(rounds, true);
}
