#include "pod/exit_watcher.h"

#include "base/status.h"

namespace crisp {

absl::StatusOr<std::unique_ptr<ExitWatcher>> ExitWatcher::Start() {
  ASSIGN_OR_RETURN(std::unique_ptr<EventLoop> loop, EventLoop::Create());
  return std::unique_ptr<ExitWatcher>(new ExitWatcher(std::move(loop)));
}

ExitWatcher::ExitWatcher(std::unique_ptr<EventLoop> loop)
    : loop_(std::move(loop)), thread_([this] { loop_->Run(); }) {}

ExitWatcher::~ExitWatcher() {
  loop_->Stop();
  thread_.join();
}

}  // namespace crisp
