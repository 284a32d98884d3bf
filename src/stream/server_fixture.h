// StreamServerTest: a streaming server before a backend that runs real processes, with URLs for it.
// What the tests of stream/ that go through the whole server have in common. For tests only.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stream/server.h"
#include "stream/stream_fixture.h"

namespace crisp::stream {

class StreamServerTest : public testing::Test {
 protected:
  void SetUp() override { Start({}); }
  // In place of the one that runs.
  void Start(const StreamServerOptions& options) {
    server_ = nullptr;
    auto server = StreamServer::Start(options, backend_);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  // No command outlives the server.
  void TearDown() override {
    server_ = nullptr;
    EXPECT_TRUE(backend_.WaitForAlive(0));
  }

  // URLs, each for one session.
  std::string Exec(const std::string& script, bool in = false, bool tty = false) {
    return *server_->ForExec({.container_id = "container",
                              .cmd = {"sh", "-c", script},
                              .tty = tty,
                              .in = in,
                              .out = true,
                              .err = !tty});
  }
  std::string Attach(bool in, bool tty = false) {
    return *server_->ForAttach(
        {.container_id = "container", .tty = tty, .in = in, .out = true, .err = !tty});
  }
  std::string PortForward(std::vector<uint16_t> ports = {}, const std::string& pod = "pod") {
    return *server_->ForPortForward(pod, std::move(ports));
  }

  TestBackend backend_;
  std::unique_ptr<StreamServer> server_;
};

}  // namespace crisp::stream
