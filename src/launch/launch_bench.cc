// Measures the native launcher: a start (from the call to execve), a whole container and an exec.
// Run it with tools/private-namespaces.
#include <benchmark/benchmark.h>

#include "launch/launch_fixture.h"

namespace crisp {
namespace {

class Bench : public LaunchTest {
 public:
  explicit Bench(const char* overlay_option = nullptr) {
    SetUp();
    if (overlay_option != nullptr) option_ = overlay_option;
  }
  ~Bench() override { TearDown(); }
  void TestBody() override {}

  StartRequest NewRequest() {
    StartRequest request = Request({});
    if (!option_.empty()) request.rootfs.options = {option_};
    // As crispd does it: the folders are new for every container.
    const std::string number = Cat(++count_);
    request.rootfs.upper = At(Cat("upper", number));
    request.rootfs.work = At(Cat("work", number));
    (void)MakeFolders(request.rootfs.upper);
    (void)MakeFolders(request.rootfs.work);
    return request;
  }
  Launch Start(const StartRequest& request) {
    absl::StatusOr<Launch> launch = launcher_->Start(request);
    if (!launch.ok()) {
      fprintf(stderr, "%s\n", launch.status().ToString().c_str());
      ::exit(1);
    }
    const Outcome outcome = Wait(*launch);
    if (!outcome.status.ok()) {
      fprintf(stderr, "%s\n", outcome.status.ToString().c_str());
      ::exit(1);
    }
    return std::move(*launch);
  }
  void End(const Launch& launch) { Reap(launch.pid); }
  void Clear() { (void)Cgroup(*tree_, CgroupPath()).Remove(); }
  void LeaveRunning() { StartRunning("echo up; exec sleep 1000"); }
  void ExecTrue() { (void)Exec(ExecProcess({"true"})); }

 private:
  std::string option_;
  int count_ = 0;
};

void BM_Start(benchmark::State& state) {
  Bench bench("volatile");
  for (auto _ : state) {
    state.PauseTiming();
    const StartRequest request = bench.NewRequest();
    state.ResumeTiming();
    const Launch launch = bench.Start(request);
    state.PauseTiming();
    bench.End(launch);
    bench.Clear();
    state.ResumeTiming();
  }
}
BENCHMARK(BM_Start)->UseRealTime()->Unit(benchmark::kMicrosecond);

void Whole(benchmark::State& state, const char* option) {
  Bench bench(option);
  for (auto _ : state) {
    state.PauseTiming();
    const StartRequest request = bench.NewRequest();
    state.ResumeTiming();
    bench.End(bench.Start(request));
    bench.Clear();
  }
}
void BM_WholeVolatile(benchmark::State& state) { Whole(state, "volatile"); }
void BM_WholeSynced(benchmark::State& state) { Whole(state, nullptr); }
BENCHMARK(BM_WholeVolatile)->UseRealTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_WholeSynced)->UseRealTime()->Unit(benchmark::kMicrosecond);

void BM_Exec(benchmark::State& state) {
  Bench bench;
  bench.LeaveRunning();
  for (auto _ : state) bench.ExecTrue();
}
BENCHMARK(BM_Exec)->UseRealTime()->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace crisp

BENCHMARK_MAIN();
