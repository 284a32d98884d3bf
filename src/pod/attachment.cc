#include "pod/attachment.h"

#include "base/id.h"
#include "base/status.h"
#include "pod/pipe.h"

namespace crisp {
namespace {

// The most that the kernel gives without asking: all that a client may fall behind its container.
constexpr int kPipeBytes = 1 << 20;
constexpr absl::Duration kResizePatience = absl::Seconds(5);

}  // namespace

Attachment::Attachment(ContainerPointer container, std::shared_ptr<MonitorClient> monitor)
    : container_(std::move(container)),
      monitor_(std::move(monitor)),
      id_(RandomId().substr(0, 16)) {}

Attachment::~Attachment() { monitor_->UnwatchAttachment(id_); }

absl::Status Attachment::Start(const CommandRequest& request, const Call& call) {
  ASSIGN_OR_RETURN(watch_, monitor_->WatchAttachment(id_));
  monitor::Request ask;
  monitor::Attach& attach = *ask.mutable_attach();
  attach.set_container_id(container_->id);
  attach.set_attach_id(id_);
  attach.set_has_stdin(request.in);
  attach.set_has_stdout(request.out);
  attach.set_has_stderr(request.err);
  std::vector<UniqueFd> theirs;  // closed here once they are sent, or the streams would never end
  if (request.in) {
    ASSIGN_OR_RETURN(PipeEnds ends, MakePipe());
    streams_.in = std::move(ends.write);
    theirs.push_back(std::move(ends.read));
  }
  for (const auto& [asked, end] :
       {std::pair{request.out, &streams_.out}, std::pair{request.err, &streams_.err}}) {
    if (!asked) continue;
    ASSIGN_OR_RETURN(PipeEnds ends, MakePipe());
    (void)fcntl(ends.write.get(), F_SETPIPE_SZ, kPipeBytes);  // refused: it has its usual 64 KiB
    *end = std::move(ends.read);
    theirs.push_back(std::move(ends.write));
  }
  std::vector<int> descriptors;
  for (const UniqueFd& fd : theirs) descriptors.push_back(fd.get());
  return monitor_->Ask(std::move(ask), call, descriptors).status();
}

absl::StatusOr<int> Attachment::ExitCode() {
  ASSIGN_OR_RETURN(const monitor::AttachEnded ended, watch_->Result());
  if (ended.message().empty()) return 0;
  return absl::ResourceExhaustedError(
      Cat("the attachment to container ", container_->id, " was cut: ", ended.message()));
}

absl::Status Attachment::Resize(uint16_t width, uint16_t height) {
  monitor::Request request;
  monitor::ResizeTerminal& resize = *request.mutable_resize();
  resize.set_container_id(container_->id);
  resize.set_width(width);
  resize.set_height(height);
  return monitor_->Ask(std::move(request), Call().Within(kResizePatience)).status();
}

}  // namespace crisp
