// crisp, the operator's tool, as a person and as a script use it.
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Cli : public NodeTest {
 protected:
  ProcessResult Crisp(std::vector<std::string> words) {
    ProcessRequest request;
    request.argv = {JoinPath(ProgramFolder(), "crisp")};
    request.argv.insert(request.argv.end(), words.begin(), words.end());
    request.environment = ToolEnvironment();
    request.environment.push_back("CRISP_ENDPOINT=" + daemon().endpoint());
    request.environment.push_back("HOME=/root");
    const auto result = RunProcess(request, Call().Within(absl::Seconds(60)));
    EXPECT_THAT(result, IsOk());
    return result.value_or(ProcessResult());
  }
  // Its output; it must succeed.
  std::string Ok(std::vector<std::string> words) {
    const std::string name = words.empty() ? "" : words[0];
    const ProcessResult result = Crisp(std::move(words));
    EXPECT_EQ(result.exit_code, 0) << name << ": " << result.stderr_data << result.stdout_data;
    return result.stdout_data;
  }
  Json JsonOf(std::vector<std::string> words) {
    words.insert(words.end(), {"--output", "json"});
    return Must(ParseJson(Ok(std::move(words)), "crisp's output"));
  }
};

TEST_F(Cli, APodsWholeLife) {
  const std::string out = Ok({"run", "--detach", "--name", "demo", kBusybox, "sh", "-c",
                              "trap 'exit 0' TERM; echo hello; while :; do sleep 0.1; done"});
  EXPECT_THAT(out, Not(IsEmpty()));
  EXPECT_THAT(Ok({"ps"}), HasSubstr("demo"));
  EXPECT_TRUE(WaitUntil([&] { return Ok({"logs", "demo"}) == "hello\n"; }));
  EXPECT_EQ(Ok({"exec", "demo", "echo", "inside"}), "inside\n");
  EXPECT_EQ(Crisp({"exec", "demo", "sh", "-c", "exit 6"}).exit_code, 6);
  EXPECT_THAT(Ok({"inspect", "demo"}), HasSubstr("demo"));
  Ok({"stop", "demo"});
  Ok({"rm", "demo"});
  EXPECT_THAT(Must(cri().ListPods()), IsEmpty());
}

TEST_F(Cli, Stats) {
  const Pod pod = RunPod("busy");
  const std::string id = StartIdle(pod, "main");
  const std::string table = Ok({"stats", "--no-trunc"});
  EXPECT_THAT(table, HasSubstr("test/busy"));
  EXPECT_THAT(table, HasSubstr(id));
  const Json json = JsonOf({"stats", "--interval", "0.1"});
  ASSERT_THAT(json, SizeIs(1));
  EXPECT_EQ(json[0]["attributes"]["id"], pod.id);
  EXPECT_EQ(json[0]["linux"]["containers"][0]["attributes"]["id"], id);
  EXPECT_GE(json[0]["linux"]["containers"][0]["cpu_percent"].get<double>(), 0);
  EXPECT_EQ(Crisp({"stats", "--interval", "-1"}).exit_code, 2);
}

TEST_F(Cli, Images) {
  EXPECT_THAT(Ok({"images"}), HasSubstr("registry.test/busybox"));
  EXPECT_TRUE(JsonOf({"images"}).is_array() || JsonOf({"images"}).is_object());
  TestImage image = BusyboxImage();
  image.Add(TestLayer().File("cli", "cli\n").Tar());
  registry().Push("cli:latest", image);
  Ok({"pull", "registry.test/cli:latest"});
  EXPECT_THAT(Ok({"images"}), HasSubstr("registry.test/cli"));
  Ok({"rmi", "registry.test/cli:latest"});
  EXPECT_THAT(Ok({"images"}), Not(HasSubstr("registry.test/cli")));
}

TEST_F(Cli, LoadsAnArchive) {
  // An OCI layout by hand.
  const std::string layout = folder() / "volumes/layout";
  ASSERT_TRUE(MakeFolders(layout + "/blobs/sha256").ok());
  const auto blob = [&](const std::string& data) {
    const std::string digest = Sha256Digest(data);
    EXPECT_TRUE(ReplaceFile(layout + "/blobs/sha256/" + digest.substr(7), data).ok());
    return Json{{"digest", digest}, {"size", data.size()}};
  };
  const std::string layer = Gzip(BusyboxTar());
  const Json config = {
      {"architecture", "amd64"},
      {"os", "linux"},
      {"config", {{"Cmd", {"sh"}}}},
      {"rootfs", {{"type", "layers"}, {"diff_ids", {Sha256Digest(BusyboxTar())}}}}};
  Json config_entry = blob(config.dump()), layer_entry = blob(layer);
  config_entry["mediaType"] = "application/vnd.oci.image.config.v1+json";
  layer_entry["mediaType"] = "application/vnd.oci.image.layer.v1.tar+gzip";
  Json manifest_entry = blob(Json{
      {"schemaVersion", 2},
      {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
      {"config", config_entry},
      {"layers", {layer_entry}}}.dump());
  manifest_entry["mediaType"] = "application/vnd.oci.image.manifest.v1+json";
  manifest_entry["annotations"] = {{"org.opencontainers.image.ref.name", "local.test/loaded:1"}};
  ASSERT_TRUE(ReplaceFile(layout + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})").ok());
  ASSERT_TRUE(ReplaceFile(layout + "/index.json",
                          Json{{"schemaVersion", 2}, {"manifests", {manifest_entry}}}.dump())
                  .ok());
  Ok({"load", layout});
  EXPECT_TRUE(Must(cri().ImageStatus("local.test/loaded:1")).has_value());
  Ok({"rmi", "local.test/loaded:1"});
  ProcessRequest tar;
  tar.argv = {"/bin/tar", "-C", layout, "-cf", layout + ".tar", "."};
  ASSERT_EQ(Must(RunProcess(tar, Call())).exit_code, 0);
  Ok({"load", layout + ".tar"});
  EXPECT_TRUE(Must(cri().ImageStatus("local.test/loaded:1")).has_value());
}

TEST_F(Cli, ErrorsSayWhatToDo) {
  ProcessResult result = Crisp({"logs", "no-such-pod"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("no-such-pod"));
  result = Crisp({"--endpoint", "unix:///no/such.sock", "ps"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.stderr_data, HasSubstr("/no/such.sock"));
  result = Crisp({"no-such-command"});
  EXPECT_NE(result.exit_code, 0);
}

TEST_F(Cli, StatusAndVersion) {
  EXPECT_THAT(Ok({"version"}), HasSubstr("0.1.0"));
  EXPECT_THAT(Ok({"status"}), HasSubstr("eady"));
  EXPECT_FALSE(JsonOf({"status"}).is_null());
  EXPECT_FALSE(JsonOf({"version"}).is_null());
  EXPECT_FALSE(JsonOf({"ps"}).is_null());
}

}  // namespace
}  // namespace crisp
