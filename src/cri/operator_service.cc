#include "cri/operator_service.h"

#include "absl/synchronization/mutex.h"
#include "api/operator.grpc.pb.h"
#include "base/status.h"
#include "cri/reply.h"
#include "image/image_store.h"

namespace crisp {
namespace {

using grpc::ServerContext;
using Writer = grpc::ServerWriter<operate::v1::PullProgress>;

operate::v1::LayerProgress::State StateOf(LayerProgress::State state) {
  switch (state) {
    case LayerProgress::State::kWaiting:
      return operate::v1::LayerProgress::WAITING;
    case LayerProgress::State::kDownloading:
      return operate::v1::LayerProgress::DOWNLOADING;
    case LayerProgress::State::kPresent:
      return operate::v1::LayerProgress::PRESENT;
    case LayerProgress::State::kDone:
      return operate::v1::LayerProgress::DONE;
  }
  return operate::v1::LayerProgress::WAITING;
}

// Sends progress to the client. The pull's threads call it; a client that has gone is ignored here,
// for the Call tells the pull.
class ProgressWriter {
 public:
  explicit ProgressWriter(Writer& writer) : writer_(writer) {}

  void Send(const std::vector<LayerProgress>& layers) {
    operate::v1::PullProgress message;
    for (const LayerProgress& layer : layers) {
      auto& out = *message.add_layers();
      out.set_digest(layer.digest);
      out.set_total_bytes(layer.total_bytes);
      out.set_done_bytes(layer.done_bytes);
      out.set_state(StateOf(layer.state));
    }
    absl::MutexLock lock(&mutex_);
    if (!closed_) writer_.Write(message);
  }

  // The last message; nothing is written after it, though a shared pull may still report.
  void Finish(const std::vector<LoadedImage>& images) {
    operate::v1::PullProgress message;
    for (const LoadedImage& image : images) {
      auto& out = *message.add_images();
      out.set_id(image.id);
      for (const std::string& name : image.names) out.add_names(name);
    }
    absl::MutexLock lock(&mutex_);
    if (!images.empty()) writer_.Write(message);
    closed_ = true;
  }

 private:
  absl::Mutex mutex_;
  Writer& writer_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

class OperatorService final : public operate::v1::Operator::Service {
 public:
  explicit OperatorService(ImageStore& images) : images_(images) {}

  grpc::Status LoadImage(ServerContext* context, const operate::v1::LoadImageRequest* request,
                         Writer* writer) override {
    if (!request->path().starts_with("/")) {
      return ToGrpc(absl::InvalidArgumentError(
          Cat("path \"", request->path(), "\" must be absolute, for the daemon opens it")));
    }
    auto progress = std::make_shared<ProgressWriter>(*writer);
    const auto loaded = images_.Load(
        request->path(), request->name(), CallOf(*context),
        [progress](const std::vector<LayerProgress>& layers) { progress->Send(layers); });
    progress->Finish(loaded.ok() ? *loaded : std::vector<LoadedImage>());
    return ToGrpc(loaded.status());
  }

  grpc::Status PullImage(ServerContext* context, const operate::v1::PullImageRequest* request,
                         Writer* writer) override {
    if (request->image().empty())
      return ToGrpc(absl::InvalidArgumentError("the request names no image"));
    PullRequest pull{.reference = request->image()};
    pull.credentials.username = request->username();
    pull.credentials.password = request->password();
    auto progress = std::make_shared<ProgressWriter>(*writer);
    const auto id = images_.Pull(
        pull, CallOf(*context),
        [progress](const std::vector<LayerProgress>& layers) { progress->Send(layers); });
    std::vector<LoadedImage> images;
    if (id.ok()) images.push_back({.id = *id, .names = {request->image()}});
    progress->Finish(images);
    return ToGrpc(id.status());
  }

 private:
  ImageStore& images_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeOperatorService(ImageStore& images) {
  return std::make_unique<OperatorService>(images);
}

}  // namespace crisp
