#include "cli/transfer.h"

#include <unistd.h>

#include "base/status.h"
#include "cli/progress.h"

namespace crisp {
namespace {

// Shows progress and keeps what the last message brings.
class Transfer {
 public:
  explicit Transfer(bool quiet) : quiet_(quiet), view_(stderr, TerminalColumns(STDERR_FILENO)) {}

  void Take(const operate::v1::PullProgress& progress) {
    if (!quiet_) view_.Show(progress);
    for (const auto& image : progress.images())
      images_.push_back({image.id(), {image.names().begin(), image.names().end()}});
  }

  std::vector<ArrivedImage> images() && { return std::move(images_); }

 private:
  const bool quiet_;
  ProgressView view_;
  std::vector<ArrivedImage> images_;
};

}  // namespace

absl::StatusOr<ArrivedImage> PullShowingProgress(Session& session,
                                                 const operate::v1::PullImageRequest& request,
                                                 bool quiet) {
  Transfer transfer(quiet);
  RETURN_IF_ERROR(session.client().Pull(
      request, [&](const operate::v1::PullProgress& progress) { transfer.Take(progress); }));
  std::vector<ArrivedImage> images = std::move(transfer).images();
  if (images.empty()) return absl::InternalError("the daemon ended the pull without an image");
  return std::move(images.front());
}

absl::StatusOr<std::vector<ArrivedImage>> LoadShowingProgress(
    Session& session, const operate::v1::LoadImageRequest& request, bool quiet) {
  Transfer transfer(quiet);
  RETURN_IF_ERROR(session.client().Load(
      request, [&](const operate::v1::PullProgress& progress) { transfer.Take(progress); }));
  return std::move(transfer).images();
}

}  // namespace crisp
