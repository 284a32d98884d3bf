// The whole daemon in this process, spoken to over its socket: what needs no pod. (Pods need the
// monitor's program and an image: the integration tests.)
#include "daemon/daemon.h"

#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>

#include "api/cri.grpc.pb.h"
#include "base/file.h"
#include "base/json.h"

namespace crisp {
namespace {

namespace cri = ::runtime::v1;
using testing::HasSubstr;

class DaemonTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/crisp-daemon-XXXXXX";
    folder_ = ::mkdtemp(name);
    config_.root = folder_ + "/root";
    config_.state = folder_ + "/state";
    config_.listen = "unix://" + folder_ + "/state/crispd.sock";
    config_.network_netns_dir = folder_ + "/netns";
    config_.cni_conf_dir = folder_ + "/cni";
    config_.monitor = "/bin/true";
  }
  void TearDown() override {
    daemon_.reset();
    ::umount2((folder_ + "/netns").c_str(), MNT_DETACH);
    EXPECT_TRUE(RemoveTree(folder_).ok());
  }
  absl::Status Start() {
    auto daemon = Daemon::Start(config_);
    if (!daemon.ok()) return daemon.status();
    daemon_ = *std::move(daemon);
    channel_ = grpc::CreateChannel(config_.listen, grpc::InsecureChannelCredentials());
    runtime_ = cri::RuntimeService::NewStub(channel_);
    images_ = cri::ImageService::NewStub(channel_);
    return absl::OkStatus();
  }
  // The code that an empty request gets.
  grpc::StatusCode CodeOf(const google::protobuf::MethodDescriptor& method) {
    grpc::ClientContext context;
    // A stream of events goes on until its client has had enough.
    const int patience = method.name() == "GetContainerEvents" ? 1 : 20;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(patience));
    grpc::GenericStub stub(channel_);
    grpc::CompletionQueue queue;
    const grpc::Slice nothing;
    grpc::ByteBuffer request(&nothing, 1), response;
    const std::string path = "/" + method.service()->full_name() + "/" + method.name();
    auto call = stub.PrepareCall(&context, path, &queue);
    void* tag = nullptr;
    bool ok = false;
    const auto step = [&] { queue.Next(&tag, &ok); };
    call->StartCall(nullptr);
    step();
    call->WriteLast(request, {}, nullptr);
    step();
    do {
      call->Read(&response, nullptr);
      step();
    } while (ok);
    grpc::Status status;
    call->Finish(&status, nullptr);
    step();
    return status.error_code();
  }

  std::string folder_;
  Config config_;
  std::unique_ptr<Daemon> daemon_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<cri::RuntimeService::Stub> runtime_;
  std::unique_ptr<cri::ImageService::Stub> images_;
};

TEST_F(DaemonTest, AnswersWhatAKubeletAsksFirst) {
  ASSERT_TRUE(Start().ok());
  grpc::ClientContext version_context, status_context, config_context;
  cri::VersionResponse version;
  ASSERT_TRUE(runtime_->Version(&version_context, {}, &version).ok());
  EXPECT_EQ(version.runtime_name(), "crisp");
  cri::StatusRequest verbose;
  verbose.set_verbose(true);
  cri::StatusResponse status;
  ASSERT_TRUE(runtime_->Status(&status_context, verbose, &status).ok());
  EXPECT_EQ(status.status().conditions_size(), 2);
  const auto info = ParseJson(status.info().at("config"), "config");
  ASSERT_TRUE(info.ok());
  EXPECT_EQ((*info)["stateDir"], config_.state);
  cri::RuntimeConfigResponse config;
  ASSERT_TRUE(runtime_->RuntimeConfig(&config_context, {}, &config).ok());
  EXPECT_EQ(config.linux().cgroup_driver(), cri::CGROUPFS);
}

// Every RPC of the interface, with an empty request: they refuse it or take it, but never answer
// Unimplemented, Unknown or Internal, nor die.
TEST_F(DaemonTest, EveryCallIsAnswered) {
  ASSERT_TRUE(Start().ok());
  const auto* pool = google::protobuf::DescriptorPool::generated_pool();
  int calls = 0;
  for (const char* name : {"runtime.v1.RuntimeService", "runtime.v1.ImageService"}) {
    const auto* service = pool->FindServiceByName(name);
    ASSERT_NE(service, nullptr);
    for (int i = 0; i < service->method_count(); ++i, ++calls) {
      const auto& method = *service->method(i);
      const grpc::StatusCode code = CodeOf(method);
      EXPECT_NE(code, grpc::StatusCode::UNIMPLEMENTED) << method.name();
      EXPECT_NE(code, grpc::StatusCode::UNKNOWN) << method.name();
      EXPECT_NE(code, grpc::StatusCode::INTERNAL) << method.name();
      EXPECT_NE(code, grpc::StatusCode::UNAVAILABLE) << method.name();
    }
  }
  EXPECT_EQ(calls, 43);
}

TEST_F(DaemonTest, UnknownImages) {
  ASSERT_TRUE(Start().ok());
  grpc::ClientContext status_context, list_context, remove_context, stream_context;
  cri::ImageStatusRequest request;
  request.mutable_image()->set_image("docker.io/library/nothing:1");
  cri::ImageStatusResponse status;
  ASSERT_TRUE(images_->ImageStatus(&status_context, request, &status).ok());
  EXPECT_FALSE(status.has_image());
  cri::ListImagesRequest filter;
  filter.mutable_filter()->mutable_image()->set_image("nothing");
  cri::ListImagesResponse list;
  ASSERT_TRUE(images_->ListImages(&list_context, filter, &list).ok());
  EXPECT_EQ(list.images_size(), 0);
  cri::RemoveImageRequest remove;
  remove.mutable_image()->set_image("nothing");
  cri::RemoveImageResponse removed;
  EXPECT_TRUE(images_->RemoveImage(&remove_context, remove, &removed).ok());
  auto stream = images_->StreamImages(&stream_context, {});
  cri::StreamImagesResponse part;
  EXPECT_FALSE(stream->Read(&part));
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(DaemonTest, TheImageFileSystemIsAFolderOfThisNode) {
  ASSERT_TRUE(Start().ok());
  grpc::ClientContext context;
  cri::ImageFsInfoResponse info;
  ASSERT_TRUE(images_->ImageFsInfo(&context, {}, &info).ok());
  ASSERT_EQ(info.image_filesystems_size(), 1);
  EXPECT_GT(info.image_filesystems(0).timestamp(), 0);
  EXPECT_TRUE(PathExists(info.image_filesystems(0).fs_id().mountpoint()));
  EXPECT_TRUE(info.image_filesystems(0).has_used_bytes());
  EXPECT_TRUE(info.image_filesystems(0).has_inodes_used());
}

TEST_F(DaemonTest, StopsAndStartsAgainOnTheSameFolders) {
  ASSERT_TRUE(Start().ok());
  EXPECT_THAT(Daemon::Start(config_).status().ToString(), HasSubstr("another crispd"));
  daemon_->Stop();
  EXPECT_FALSE(PathExists(config_.SocketPath()));
  daemon_.reset();
  EXPECT_TRUE(Start().ok());
}

TEST_F(DaemonTest, AMissingMonitorIsNamed) {
  config_.monitor = folder_ + "/no-monitor";
  const absl::Status status = Start();
  EXPECT_THAT(status.ToString(), HasSubstr("no-monitor"));
  EXPECT_THAT(status.ToString(), HasSubstr("key \"monitor\""));
}

}  // namespace
}  // namespace crisp
