#include "oci/spec.h"

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/text.h"
#include "gmock/gmock.h"
#include "oci/spec_fixture.h"
#include "oci/validate.h"

namespace crisp {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

namespace v1 = ::runtime::v1;

using SpecTest = SpecFixture;

TEST_F(SpecTest, WholeOfASmallContainer) {
  const auto spec = Build();
  ASSERT_TRUE(spec.ok()) << spec.status();
  Json config = spec->config;
  EXPECT_EQ(config["ociVersion"], "1.0.2");
  EXPECT_EQ(config["root"], Json({{"path", "rootfs"}, {"readonly", false}}));
  Json process = config["process"];
  EXPECT_EQ(process["capabilities"]["bounding"].size(), 14u);
  process.erase("capabilities");
  EXPECT_EQ(process, Json::parse(R"json({
    "terminal": false,
    "user": {"uid": 0, "gid": 0, "additionalGids": [0]},
    "args": ["/bin/server"],
    "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOSTNAME=web-host", "HOME=/root"],
    "cwd": "/",
    "noNewPrivileges": false,
    "oomScoreAdj": 0
  })json"));
  EXPECT_EQ(config["annotations"], Json::parse(R"json({
    "io.kubernetes.cri.container-type": "container",
    "io.kubernetes.cri.sandbox-id": "p1",
    "io.kubernetes.cri.sandbox-name": "web",
    "io.kubernetes.cri.sandbox-namespace": "shop",
    "io.kubernetes.cri.sandbox-uid": "uid-1",
    "io.kubernetes.cri.container-name": "nginx",
    "io.kubernetes.cri.image-name": "sha256:abc"
  })json"));
  Json linux_part = config["linux"];
  EXPECT_EQ(linux_part["resources"]["devices"].size(), 12u);
  linux_part.erase("resources");
  EXPECT_EQ(linux_part, Json::parse(R"json({
    "cgroupsPath": "/crisp/p1/c1",
    "namespaces": [{"type": "mount"},
                   {"type": "network", "path": "/run/netns/crisp-p1"},
                   {"type": "ipc", "path": "/run/crisp/pods/p1/ipc"},
                   {"type": "uts", "path": "/run/crisp/pods/p1/uts"},
                   {"type": "pid"}],
    "maskedPaths": [], "readonlyPaths": []
  })json"));
  EXPECT_EQ(spec->seccomp_bpf_path, "") << "nothing said is unconfined";
  EXPECT_EQ(spec->stop_signal.number, 15);
  EXPECT_THAT(spec->user.linux().supplemental_groups(), ElementsAre(0));
}

TEST_F(SpecTest, Args) {
  struct Case {
    std::vector<std::string> entrypoint, cmd, command, args, result;
  };
  const Case cases[] = {
      {{"e"}, {"c"}, {}, {}, {"e", "c"}}, {{"e"}, {"c"}, {}, {"a"}, {"e", "a"}},
      {{"e"}, {"c"}, {"x"}, {}, {"x"}},   {{"e"}, {"c"}, {"x"}, {"a"}, {"x", "a"}},
      {{}, {"c"}, {}, {}, {"c"}},         {{""}, {"c"}, {}, {}, {"c"}},
      {{}, {}, {}, {"a"}, {"a"}},
  };
  for (const Case& c : cases) {
    image_.entrypoint = c.entrypoint;
    image_.cmd = c.cmd;
    container_.mutable_command()->Assign(c.command.begin(), c.command.end());
    container_.mutable_args()->Assign(c.args.begin(), c.args.end());
    EXPECT_EQ(Config()["process"]["args"], Json(c.result));
  }
  image_ = {};
  container_.clear_command();
  container_.clear_args();
  EXPECT_THAT(Refused(), HasSubstr("nothing to run"));
  container_.add_command("");
  EXPECT_THAT(Refused(), HasSubstr("empty"));
  container_.set_command(0, std::string("a\0b", 3));
  EXPECT_THAT(Refused(), HasSubstr("NUL"));
}

TEST_F(SpecTest, Environment) {
  image_.env = {"PATH=/image", "A=1", "B=2", "BARE", "", "=x", "HOME=/image"};
  const auto set = [&](const std::string& key, const std::string& value) {
    auto* variable = container_.add_envs();
    variable->set_key(key);
    variable->set_value(value);
  };
  set("B", "3=4");
  set("C", "");
  container_.set_tty(true);
  EXPECT_EQ(Config()["process"]["env"], Json({"PATH=/image", "HOSTNAME=web-host", "TERM=xterm",
                                              "A=1", "B=3=4", "BARE=", "HOME=/image", "C="}));
  EXPECT_EQ(Config()["process"]["terminal"], true);
  for (const std::string& key : {std::string(), std::string("a=b"), std::string("a\0b", 3)}) {
    container_.clear_envs();
    set(key, "v");
    EXPECT_THAT(Refused(), HasSubstr("envs"));
  }
}

TEST_F(SpecTest, WorkingFolder) {
  image_.working_dir = "srv/../app";
  EXPECT_EQ(Config()["process"]["cwd"], "/app");
  container_.set_working_dir("/own/./x");
  EXPECT_EQ(Config()["process"]["cwd"], "/own/x");
}

TEST_F(SpecTest, UserAndHome) {
  Context()->set_run_as_username("www");
  Context()->add_supplemental_groups(99);
  const auto spec = Build();
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->config["process"]["user"],
            Json({{"uid", 33}, {"gid", 33}, {"additionalGids", {33, 99}}}));
  EXPECT_THAT(spec->config["process"]["env"], Contains("HOME=/var/www"));
  EXPECT_EQ(spec->user.linux().uid(), 33);
  EXPECT_THAT(spec->user.linux().supplemental_groups(), ElementsAre(33, 99));
}

TEST_F(SpecTest, Namespaces) {
  const auto types = [&] {
    std::map<std::string, std::string> map;
    const Json config = Config();
    for (const Json& entry : config["linux"]["namespaces"]) {
      map[entry["type"]] = JsonString(entry, "path", "new");
    }
    return map;
  };
  v1::NamespaceOption* options = Context()->mutable_namespace_options();
  options->set_pid(v1::NODE);
  EXPECT_FALSE(types().contains("pid"));
  options->set_pid(v1::POD);
  EXPECT_THAT(Refused(), HasSubstr("PID namespace"));
  pod_facts_.pid_ns_path = "/proc/7/ns/pid";
  EXPECT_EQ(types()["pid"], "/proc/7/ns/pid");
  options->set_pid(v1::TARGET);
  EXPECT_THAT(Refused(), HasSubstr("target_id"));
  options->set_target_id("other");
  EXPECT_THAT(Refused(), HasSubstr("other"));
  facts_.target_pid_ns = "/proc/8/ns/pid";
  EXPECT_EQ(types()["pid"], "/proc/8/ns/pid");
  // Without options of its own a container takes its pod's.
  Context()->clear_namespace_options();
  pod_.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(
      v1::CONTAINER);
  EXPECT_EQ(types()["pid"], "new");
  pod_facts_.netns_path = pod_facts_.ipc_path = pod_facts_.uts_path = "";
  EXPECT_THAT(types(), testing::SizeIs(2)) << "mount and pid; the rest is the host's";
  limits_.cgroup_v2 = true;
  EXPECT_EQ(types()["cgroup"], "new");
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  Context()->set_privileged(true);
  EXPECT_FALSE(types().contains("cgroup"));
}

TEST_F(SpecTest, PrivilegedHasAll) {
  Context()->set_privileged(true);
  Context()->add_masked_paths("/proc/kcore");
  Context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  EXPECT_THAT(Refused(), HasSubstr("privileged"));
  pod_.mutable_linux()->mutable_security_context()->set_privileged(true);
  const auto spec = Build();
  ASSERT_TRUE(spec.ok()) << spec.status();
  const Json& config = spec->config;
  EXPECT_EQ(config["process"]["capabilities"]["bounding"].size(), 41u);
  EXPECT_FALSE(config["linux"].contains("maskedPaths"));
  EXPECT_EQ(spec->seccomp_bpf_path, "");
  EXPECT_EQ(config["linux"]["resources"]["devices"],
            Json::parse(R"([{"allow": true, "access": "rwm"}])"));
  EXPECT_GT(config["linux"]["devices"].size(), 3u);
  EXPECT_THAT(MountAt(config, "/sys")["options"], Contains("rw"));
  EXPECT_THAT(MountAt(config, "/sys/fs/cgroup")["options"], Contains("rw"));
}

TEST_F(SpecTest, MaskedAndReadonlyPathsAsGiven) {
  Context()->add_masked_paths("/proc/kcore");
  Context()->add_readonly_paths("/proc/sys");
  const Json config = Config();
  EXPECT_EQ(config["linux"]["maskedPaths"], Json({"/proc/kcore"}));
  EXPECT_EQ(config["linux"]["readonlyPaths"], Json({"/proc/sys"}));
  Context()->add_masked_paths("relative");
  EXPECT_THAT(Refused(), HasSubstr("relative"));
}

TEST_F(SpecTest, SeccompProfiles) {
  Context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  auto spec = Build();
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_TRUE(PathExists(spec->seccomp_bpf_path));
  EXPECT_FALSE(spec->config["linux"].contains("seccomp"));
  facts_.seccomp_in_config = true;
  EXPECT_EQ(Config()["linux"]["seccomp"]["defaultAction"], "SCMP_ACT_ERRNO");

  const std::string own = JoinPath(folder_, "own.json");
  ASSERT_TRUE(ReplaceFile(own, R"({"defaultAction": "SCMP_ACT_ALLOW"})").ok());
  Context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::Localhost);
  EXPECT_THAT(Refused(), HasSubstr("localhost_ref"));
  Context()->mutable_seccomp()->set_localhost_ref("relative.json");
  EXPECT_THAT(Refused(), HasSubstr("absolute"));
  Context()->mutable_seccomp()->set_localhost_ref("/no/such/profile.json");
  EXPECT_THAT(Refused(), HasSubstr("/no/such/profile.json"));
  Context()->mutable_seccomp()->set_localhost_ref("localhost/" + own);
  EXPECT_TRUE(Build().ok());
  ASSERT_TRUE(ReplaceFile(own, "{nonsense").ok());
  EXPECT_THAT(Refused(), HasSubstr("own.json"));
  // The deprecated text is heard when the field is absent.
  Context()->clear_seccomp();
  for (const auto& [text, confined] : {std::pair{"", false},
                                       {"unconfined", false},
                                       {"runtime/default", true},
                                       {"docker/default", true}}) {
    v1::LinuxContainerSecurityContext context;
    const auto* field = context.GetDescriptor()->FindFieldByName("seccomp_profile_path");
    context.GetReflection()->SetString(&context, field, text);
    EXPECT_EQ(SeccompChoice(context)->kind == ProfileChoice::kRuntimeDefault, confined) << text;
  }
}

TEST_F(SpecTest, OomScoreAndLimits) {
  container_.mutable_linux()->mutable_resources()->set_oom_score_adj(-998);
  limits_.min_oom_score_adj = -500;
  limits_.rlimits = {{"RLIMIT_NOFILE", 1024, 524288}};
  const auto spec = Build();
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->config["process"]["oomScoreAdj"], -500);
  EXPECT_EQ(spec->resources.oom_score_adj(), -500) << "the status tells the truth";
  EXPECT_EQ(spec->config["process"]["rlimits"],
            Json::parse(R"([{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 524288}])"));
}

TEST_F(SpecTest, ImageVolumes) {
  image_.volumes = {"/data", "cache/", "/data/", "/", "/taken"};
  AddMount("/taken/", folder_);
  EXPECT_THAT(UncoveredVolumes(container_, image_), ElementsAre("/data", "/cache"));
  facts_.image_volumes = {{"/host/data", "/data"}, {"/host/taken", "/taken"}};
  const Json config = Config();
  EXPECT_EQ(MountAt(config, "/data")["source"], "/host/data");
  EXPECT_EQ(MountAt(config, "/taken")["source"], folder_);
}

TEST_F(SpecTest, ExecProcess) {
  const Json process = Config()["process"];
  const auto exec = BuildExecProcess(process, {"ls", "-l"}, TerminalSize{100, 40});
  ASSERT_TRUE(exec.ok());
  EXPECT_EQ((*exec)["args"], Json({"ls", "-l"}));
  EXPECT_EQ((*exec)["terminal"], true);
  EXPECT_EQ((*exec)["consoleSize"]["width"], 100);
  EXPECT_THAT((*exec)["env"], Contains("TERM=xterm"));
  EXPECT_EQ((*exec)["capabilities"], process["capabilities"]);
  EXPECT_THAT((*BuildExecProcess(process, {"ls"}, std::nullopt))["env"],
              Not(Contains("TERM=xterm")));
  EXPECT_EQ(BuildExecProcess(process, {}, std::nullopt).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(BuildExecProcess(process, {""}, std::nullopt).ok());
  EXPECT_FALSE(BuildExecProcess(Json(), {"ls"}, std::nullopt).ok());
}

TEST(CgroupPathOfContainer, Forms) {
  v1::PodSandboxConfig pod;
  EXPECT_EQ(*CgroupPath(pod, "p", "c"), "/crisp/p/c");
  for (const auto& [parent, path] :
       {std::pair{"/kubepods/burstable/pod1", "/kubepods/burstable/pod1/c"},
        {"relative", "/relative/c"},
        {"/a.slice", "/a.slice/c"},
        {"/../../etc", "/etc/c"},
        {"a/../../..", "/c"}}) {
    pod.mutable_linux()->set_cgroup_parent(parent);
    EXPECT_EQ(*CgroupPath(pod, "p", "c"), path);
  }
  pod.mutable_linux()->set_cgroup_parent(std::string("a\0b", 3));
  EXPECT_FALSE(CgroupPath(pod, "p", "c").ok());
}

TEST(Resources, FromCri) {
  v1::LinuxContainerResources ask;
  DaemonLimits limits;
  EXPECT_EQ(*BuildResources(ask, limits), Json::object());
  ask.set_cpu_shares(512);
  ask.set_cpu_quota(-1);
  ask.set_cpu_period(100000);
  ask.set_cpuset_cpus("0-1,3");
  ask.set_memory_limit_in_bytes(1 << 20);
  auto* huge = ask.add_hugepage_limits();
  huge->set_page_size("2MB");
  huge->set_limit(~uint64_t{0});
  EXPECT_EQ(*BuildResources(ask, limits), Json::parse(R"json({
    "cpu": {"shares": 512, "quota": -1, "period": 100000, "cpus": "0-1,3"},
    "memory": {"limit": 1048576, "swap": 1048576},
    "hugepageLimits": [{"pageSize": "2MB", "limit": 18446744073709551615}]
  })json"));
  limits.swap_accounting = false;
  EXPECT_FALSE((*BuildResources(ask, limits))["memory"].contains("swap"));
  limits.swap_accounting = true;
  ask.set_memory_swap_limit_in_bytes(3 << 20);
  EXPECT_EQ((*BuildResources(ask, limits))["memory"]["swap"], 3 << 20);
  ask.set_memory_swap_limit_in_bytes(-1);
  EXPECT_EQ((*BuildResources(ask, limits))["memory"]["swap"], -1);
  limits.unified = true;
  (*ask.mutable_unified())["memory.high"] = "1000";
  EXPECT_EQ((*BuildResources(ask, limits))["unified"], Json({{"memory.high", "1000"}}));
}

TEST(Resources, BadOnesAreRefusedByName) {
  const DaemonLimits limits;
  const std::pair<const char*, std::function<void(v1::LinuxContainerResources&)>> bad[] = {
      {"cpu_period", [](auto& r) { r.set_cpu_period(10); }},
      {"cpu_quota", [](auto& r) { r.set_cpu_quota(-2); }},
      {"cpu_shares", [](auto& r) { r.set_cpu_shares(-1); }},
      {"memory_limit", [](auto& r) { r.set_memory_limit_in_bytes(-5); }},
      {"memory_swap", [](auto& r) { r.set_memory_swap_limit_in_bytes(5); }},
      {"memory_swap",
       [](auto& r) {
         r.set_memory_limit_in_bytes(10);
         r.set_memory_swap_limit_in_bytes(9);
       }},
      {"oom_score_adj", [](auto& r) { r.set_oom_score_adj(1001); }},
      {"cpuset_cpus", [](auto& r) { r.set_cpuset_cpus("0-1;x"); }},
      {"cpuset_mems", [](auto& r) { r.set_cpuset_mems("all"); }},
      {"hugepage_limits", [](auto& r) { r.add_hugepage_limits()->set_page_size("../2MB"); }},
      {"hugepage_limits", [](auto& r) { r.add_hugepage_limits()->set_page_size("MB"); }},
      {"unified", [](auto& r) { (*r.mutable_unified())["memory.high"] = "1"; }},
  };
  for (const auto& [field, spoil] : bad) {
    v1::LinuxContainerResources ask;
    spoil(ask);
    const auto resources = BuildResources(ask, limits);
    EXPECT_EQ(resources.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(resources.status().message()), HasSubstr(field));
  }
  DaemonLimits v2;
  v2.unified = true;
  for (const char* name : {"../x.y", "cgroup.procs", "x", ".x.y", ""}) {
    v1::LinuxContainerResources ask;
    (*ask.mutable_unified())[name] = "1";
    EXPECT_FALSE(BuildResources(ask, v2).ok()) << name;
  }
}

// Not a limit of the test: the figure is printed. Every CreateContainer pays it.
TEST_F(SpecTest, TimeOfBuilding) {
  limits_ = DaemonLimits::Probe();
  Context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  for (int i = 0; i < 5; ++i) AddMount(Cat("/mnt/", i), folder_);
  const absl::Time first = absl::Now();
  ASSERT_TRUE(Build().ok());
  const absl::Time start = absl::Now();
  constexpr int kRounds = 50;
  size_t bytes = 0;
  for (int i = 0; i < kRounds; ++i) bytes = JsonText(Build()->config).size();
  printf("first (compiles seccomp) %.1f ms, then %.0f us each, %zu bytes\n",
         absl::ToDoubleMilliseconds(start - first),
         absl::ToDoubleMicroseconds(absl::Now() - start) / kRounds, bytes);
}

}  // namespace
}  // namespace crisp
