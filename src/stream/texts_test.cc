// The small parsers and writers: terminal sizes, exit statuses, HTTP heads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/json.h"
#include "base/text.h"
#include "stream/exit_status.h"
#include "stream/http_head.h"
#include "stream/terminal_size.h"

namespace crisp::stream {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

TEST(TerminalSize, ObjectsFollowOneAnotherAndTheLastCounts) {
  TerminalSizeReader reader;
  const auto size = reader.Feed("{\"Width\":80,\"Height\":24}\n {\"width\":100,\"height\":30}\n");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_EQ(*size, (TerminalSize{100, 30}));
}

TEST(TerminalSize, CutsAnywhereMakeNoDifference) {
  TerminalSizeReader reader;
  std::optional<TerminalSize> last;
  for (char c : std::string(R"({"Width":80,"note":"}\"{","Height":24})")) {
    const auto size = reader.Feed(std::string(1, c));
    ASSERT_TRUE(size.ok()) << size.status();
    if (*size) last = *size;
  }
  EXPECT_EQ(last, (TerminalSize{80, 24}));
}

TEST(TerminalSize, ZeroesAreIgnored) {
  const auto size = TerminalSizeReader().Feed(R"({"Width":0,"Height":24}{"Width":80})");
  ASSERT_TRUE(size.ok()) << size.status();
  EXPECT_FALSE(*size);
}

TEST(TerminalSize, NonsenseIsRefused) {
  for (const char* text :
       {"hello", "[1]", R"({"Width":70000,"Height":1})", R"({"Width":-1,"Height":1})",
        R"({"Width":"80","Height":1})", R"({"Width":1e9,"Height":1})", "{}}", R"({"Width":})"}) {
    EXPECT_EQ(TerminalSizeReader().Feed(text).status().code(), absl::StatusCode::kInvalidArgument)
        << text;
  }
  EXPECT_FALSE(TerminalSizeReader().Feed("{\"" + std::string(5000, 'x')).ok());
}

TEST(ExitStatus, FromV4OnItIsAStatusObject) {
  EXPECT_EQ(Json::parse(ExitStatusText(4, 0)),
            Json::parse(R"({"metadata":{},"status":"Success"})"));
  const Json failed = Json::parse(ExitStatusText(5, 7));
  EXPECT_EQ(failed["status"], "Failure");
  EXPECT_EQ(failed["reason"], "NonZeroExitCode");
  EXPECT_EQ(failed["details"]["causes"], Json::parse(R"([{"reason":"ExitCode","message":"7"}])"));
  const Json error = Json::parse(ExitStatusText(4, absl::NotFoundError("container x is gone")));
  EXPECT_EQ(error["status"], "Failure");
  EXPECT_EQ(error["reason"], "InternalError");
  EXPECT_EQ(error["code"], 500);
  EXPECT_EQ(error["message"], "container x is gone");
}

TEST(ExitStatus, BeforeV4ItIsText) {
  EXPECT_EQ(ExitStatusText(1, 0), "");
  EXPECT_EQ(ExitStatusText(3, 7), "command terminated with exit code 7");
  EXPECT_EQ(ExitStatusText(2, absl::InternalError("no such file")), "no such file");
}

TEST(HttpHead, AHeadIsFoundAndRead) {
  const std::string text =
      "POST /exec/abc?port=80,81&x=1&port=82 HTTP/1.1\r\nHost: x\r\nconnection: keep-alive, "
      "upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v5.channel.k8s.io\r\n"
      "X-Stream-Protocol-Version: v4.channel.k8s.io, v3.channel.k8s.io\r\n\r\n";
  EXPECT_EQ(*FindHttpHead(text.substr(0, 50)), 0u);
  ASSERT_EQ(*FindHttpHead(text + "more"), text.size());
  const auto head = ParseHttpHead(text);
  ASSERT_TRUE(head.ok()) << head.status();
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->Path(), "/exec/abc");
  EXPECT_THAT(head->Query("port"), ElementsAre("80", "81", "82"));
  EXPECT_TRUE(head->Has("Connection", "Upgrade"));
  EXPECT_TRUE(head->Has("upgrade", "spdy/3.1"));
  EXPECT_FALSE(head->Has("upgrade", "websocket"));
  EXPECT_THAT(head->Values("X-Stream-Protocol-Version"),
              ElementsAre("v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io"));
}

TEST(HttpHead, ABodyThatIsAnnouncedDoesNotDisturb) {
  const auto head = ParseHttpHead("POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(head.ok()) << head.status();
}

TEST(HttpHead, WhatIsNoHttpIsRefusedAtOnce) {
  EXPECT_FALSE(FindHttpHead("\x16\x03\x01").ok());
  EXPECT_FALSE(FindHttpHead("get /").ok());
  EXPECT_EQ(FindHttpHead("GET /" + std::string(kMaxHttpHead, 'x')).status().code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_FALSE(ParseHttpHead("GET\r\n\r\n").ok());
  EXPECT_FALSE(ParseHttpHead("GET / HTTP/1.1\r\nno colon\r\n\r\n").ok());
}

TEST(HttpHead, AnAnswerIsWhole) {
  const std::string answer = HttpAnswer(404, "nothing here", "Allow: GET\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer, HasSubstr("Allow: GET\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 13\r\n\r\nnothing here\n"));
}

}  // namespace
}  // namespace crisp::stream
