// cri-bench itself: that every measurement goes through against a real daemon, not how fast.
#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "base/text.h"
#include "test/integration/crisp_session.h"
#include "test/integration/node_test.h"

namespace crisp {
namespace {

class BenchTool : public NodeTest {};

TEST_F(BenchTool, MeasuresEveryFigure) {
  const std::string report = folder() / "volumes/report.json";
  ASSERT_TRUE(MakeFolders(folder() / "volumes").ok());
  ProcessRequest request;
  request.argv = {JoinPath(ProgramFolder(), "cri-bench")};
  for (const std::string_view word : SplitWords(
           "--figures --rounds 1 --warm-up 0 --execs 1 --burst 2 --bursts 1 --pods 2 --reads 1 "
           "--idle 0.1 --probe-seconds 0.5 --probes 20 --callers 2 --calls 5 --events 2 "
           "--stream-mib 1 --helpers crisp-monitor",
           ' ')) {
    request.argv.emplace_back(word);
  }
  request.argv.insert(request.argv.end(), {"--crun", "", "--image", kBusybox, "--json", report,
                                           "crisp=" + daemon().endpoint()});
  request.environment = ToolEnvironment();
  const ProcessResult result = Must(RunProcess(request, Call().Within(absl::Seconds(120))));
  ASSERT_EQ(result.exit_code, 0) << result.stderr_data;
  const Json json = Must(ParseJson(Must(ReadFile(report)), report));
  const Json& facts = json["targets"][0]["facts"];
  EXPECT_EQ(facts["streams"].size(), 8u);
  for (const auto& [name, stream] : facts["streams"].items())
    EXPECT_TRUE(stream.contains("mb_per_second")) << name << ": " << stream.dump();
  EXPECT_EQ(facts["probes"]["failures"], 0);
  EXPECT_EQ(facts["memory"][0]["pods"], 2);
  EXPECT_EQ(facts["memory"][0]["helpers"]["crisp-monitor"]["processes"], 2);
  size_t measured = 0;
  for (const Json& figure : json["figures"]) measured += figure.contains("met");
  EXPECT_GE(measured, 12u) << json["figures"].dump(1);
}

}  // namespace
}  // namespace crisp
