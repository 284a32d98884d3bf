#include "daemon/server.h"

#include <grpc/grpc.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>

#include "absl/cleanup/cleanup.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"

namespace crisp {
namespace {

// Whether somebody accepts connections at the path.
bool Answers(const std::string& path) {
  sockaddr_un address = {.sun_family = AF_UNIX};
  if (path.size() >= sizeof(address.sun_path)) return false;
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return fd.valid() &&
         ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
}

// Ok if the path is free or holds what a daemon before left there.
absl::Status CheckSocketPath(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? absl::OkStatus() : ErrnoStatus("look at socket ", path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return absl::FailedPreconditionError(
        Cat("cannot listen at ", path,
            ": a file that is no socket is there; remove it or choose "
            "another path with --listen"));
  }
  if (Answers(path)) {
    return absl::FailedPreconditionError(
        Cat("cannot listen at ", path,
            ": another program serves there; stop it or choose another "
            "path with --listen"));
  }
  return absl::OkStatus();
}

}  // namespace

class Server::Grpc {
 public:
  std::unique_ptr<grpc::Server> server;
};

Server::Server(std::string socket_path, std::unique_ptr<Grpc> grpc)
    : socket_path_(std::move(socket_path)), grpc_(std::move(grpc)) {}

Server::~Server() { Stop(absl::ZeroDuration()); }

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options,
                                                      const std::vector<grpc::Service*>& services) {
  // Never given back: when its last user goes, the library waits for its threads, of which one may
  // be in a poll of ten seconds on behalf of a client that did not read.
  ::grpc_init();
  const std::string& path = options.socket_path;
  RETURN_IF_ERROR(MakeFolders(FolderOf(path), 0755));
  RETURN_IF_ERROR(CheckSocketPath(path));
  grpc::ServerBuilder builder;
  grpc::ResourceQuota quota("crispd");
  quota.SetMaxThreads(options.max_threads);
  builder.SetResourceQuota(quota);
  builder.SetMaxReceiveMessageSize(options.max_message_bytes);
  builder.SetMaxSendMessageSize(options.max_message_bytes);
  // One queue with a poller or two: threads come with calls and go with them.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, 32 << 10);
  for (grpc::Service* service : services) builder.RegisterService(service);
  // Bound in a folder of root's alone and moved once its mode is right: nobody gets in before, and
  // the move replaces a stale socket at once.
  const std::string folder = JoinPath(FolderOf(path), Cat(".", BaseName(path)));
  const std::string bound = JoinPath(folder, "s");
  RETURN_IF_ERROR(MakeFolders(folder, 0700));
  absl::Cleanup remove = [&] { (void)RemoveTree(folder); };
  RETURN_IF_ERROR(RemoveFile(bound));
  builder.AddListeningPort("unix://" + bound, grpc::InsecureServerCredentials());
  auto grpc = std::make_unique<Grpc>();
  grpc->server = builder.BuildAndStart();
  if (grpc->server == nullptr)
    return absl::InternalError(Cat("gRPC cannot listen at ", path, "; see the lines above"));
  if (::chmod(bound.c_str(), 0660) != 0) return ErrnoStatus("set the mode of socket ", bound);
  if (::rename(bound.c_str(), path.c_str()) != 0) return ErrnoStatus("move socket to ", path);
  return std::unique_ptr<Server>(new Server(path, std::move(grpc)));
}

void Server::Stop(absl::Duration grace) {
  if (grpc_ == nullptr) return;
  grpc_->server->Shutdown(absl::ToChronoTime(absl::Now() + grace));
  grpc_->server->Wait();
  grpc_.reset();
  if (absl::Status status = RemoveFile(socket_path_); !status.ok()) {
    LOG_WARN("the socket stays: {}", status.ToString());
  }
}

}  // namespace crisp
