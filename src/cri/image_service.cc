#include "cri/image_service.h"

#include "absl/time/clock.h"
#include "api/cri.grpc.pb.h"
#include "base/status.h"
#include "cri/image_reply.h"
#include "cri/reply.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;
using grpc::ServerContext;

// Images in one message of StreamImages: even with many names far below any message limit.
constexpr int kImagesInMessage = 256;

class ImageService final : public v1::ImageService::Service {
 public:
  explicit ImageService(ImageStore& images) : images_(images) {}

  grpc::Status ListImages(ServerContext*, const v1::ListImagesRequest* request,
                          v1::ListImagesResponse* response) override {
    const auto found = Select(request->filter());
    if (!found.ok()) return ToGrpc(found.status());
    for (const auto& record : *found) *response->add_images() = ImageMessage(*record);
    return grpc::Status::OK;
  }

  grpc::Status StreamImages(ServerContext*, const v1::StreamImagesRequest* request,
                            grpc::ServerWriter<v1::StreamImagesResponse>* writer) override {
    const auto found = Select(request->filter());
    if (!found.ok()) return ToGrpc(found.status());
    v1::StreamImagesResponse part;
    for (const auto& record : *found) {
      *part.add_images() = ImageMessage(*record);
      if (part.images_size() < kImagesInMessage) continue;
      if (!writer->Write(part)) return ToGrpc(absl::CancelledError("the caller has gone"));
      part.Clear();
    }
    if (part.images_size() > 0) writer->Write(part);
    return grpc::Status::OK;
  }

  grpc::Status ImageStatus(ServerContext*, const v1::ImageStatusRequest* request,
                           v1::ImageStatusResponse* response) override {
    const auto name = ImageNameOf(request->has_image(), request->image());
    if (!name.ok()) return ToGrpc(name.status());
    const auto found = images_.Find(*name);
    if (absl::IsNotFound(found.status())) return grpc::Status::OK;
    if (!found.ok()) return ToGrpc(found.status());
    *response->mutable_image() = ImageMessage(**found);
    if (request->verbose()) {
      for (const auto& [key, value] : ImageInfo(**found)) (*response->mutable_info())[key] = value;
    }
    return grpc::Status::OK;
  }

  grpc::Status PullImage(ServerContext* context, const v1::PullImageRequest* request,
                         v1::PullImageResponse* response) override {
    const auto name = ImageNameOf(request->has_image(), request->image());
    if (!name.ok()) return ToGrpc(name.status());
    auto id = images_.Pull({.reference = *name, .credentials = CredentialsOf(request->auth())},
                           CallOf(*context));
    if (!id.ok()) return ToGrpc(id.status());
    response->set_image_ref(*id);
    return grpc::Status::OK;
  }

  grpc::Status RemoveImage(ServerContext*, const v1::RemoveImageRequest* request,
                           v1::RemoveImageResponse*) override {
    const auto name = ImageNameOf(request->has_image(), request->image());
    if (!name.ok()) return ToGrpc(name.status());
    return ToGrpc(images_.Remove(*name));
  }

  grpc::Status ImageFsInfo(ServerContext*, const v1::ImageFsInfoRequest*,
                           v1::ImageFsInfoResponse* response) override {
    const auto usage = images_.Usage();
    if (!usage.ok()) return ToGrpc(usage.status());
    // Layers and the writable layers of containers are on the same file system: kubelet takes an
    // entry in both lists with the same mountpoint for just that.
    for (auto* entry : {response->add_image_filesystems(), response->add_container_filesystems()}) {
      entry->set_timestamp(absl::ToUnixNanos(absl::Now()));
      entry->mutable_fs_id()->set_mountpoint(usage->mountpoint);
      entry->mutable_used_bytes()->set_value(usage->used_bytes);
      entry->mutable_inodes_used()->set_value(usage->inodes_used);
    }
    return grpc::Status::OK;
  }

 private:
  using Records = std::vector<std::shared_ptr<const ImageRecord>>;

  // All images, or the one that the filter names; none if there is no such image.
  absl::StatusOr<Records> Select(const v1::ImageFilter& filter) const {
    if (filter.image().image().empty()) return images_.List();
    auto found = images_.Find(filter.image().image());
    if (absl::IsNotFound(found.status())) return Records();
    if (!found.ok()) return found.status();
    return Records{*std::move(found)};
  }

  ImageStore& images_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeImageService(ImageStore& images) {
  return std::make_unique<ImageService>(images);
}

}  // namespace crisp
