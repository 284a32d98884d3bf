#include "pod/runtime_handlers.h"

#include <algorithm>

#include "base/call.h"
#include "base/log.h"
#include "base/status.h"
#include "base/subprocess.h"

namespace crisp {
namespace {

constexpr absl::Duration kAskPatience = absl::Seconds(10);

}  // namespace

RuntimeHandlers::RuntimeHandlers(std::vector<RuntimeHandler> more, std::string default_name,
                                 const RuntimeFeatures& native)
    : handlers_({{"crisp", "", {}}, {"native", "", {}}}),
      default_name_(std::move(default_name)),
      native_(native) {
  for (RuntimeHandler& handler : more) {
    std::erase_if(handlers_, [&](const RuntimeHandler& old) { return old.name == handler.name; });
    handlers_.push_back(std::move(handler));
  }
  {
    absl::MutexLock lock(&mutex_);
    features_.resize(handlers_.size(), {.user_namespaces = native.user_namespaces});
  }
  const bool foreign = std::any_of(handlers_.begin(), handlers_.end(),
                                   [](const RuntimeHandler& handler) { return !handler.native(); });
  if (foreign) asking_ = std::thread([this] { Ask(); });
}

RuntimeHandlers::~RuntimeHandlers() {
  stopped_ = true;
  if (asking_.joinable()) asking_.join();
}

absl::StatusOr<RuntimeHandler> RuntimeHandlers::Find(std::string_view name) const {
  if (name.empty()) name = default_name_;
  const auto found = std::ranges::find(handlers_, name, &RuntimeHandler::name);
  if (found != handlers_.end()) return *found;
  std::string names;
  for (const RuntimeHandler& handler : handlers_) {
    names += Cat(names.empty() ? "" : ", ", handler.name);
  }
  return absl::NotFoundError(
      Cat("there is no runtime handler \"", name, "\"; the configuration knows ", names));
}

RuntimeFeatures RuntimeHandlers::FeaturesOf(const RuntimeHandler& handler) const {
  if (handler.native()) return native_;
  const auto found = std::ranges::find(handlers_, handler.name, &RuntimeHandler::name);
  if (found == handlers_.end()) return {};
  absl::MutexLock lock(&mutex_);
  return features_[static_cast<size_t>(found - handlers_.begin())];
}

void RuntimeHandlers::Ask() {
  Call call;
  call.cancelled = [this] { return stopped_.load(); };
  for (size_t i = 0; i < handlers_.size(); ++i) {
    if (handlers_[i].native()) continue;
    ProcessRequest request;
    request.argv = {handlers_[i].path, "features"};
    request.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"};
    const absl::StatusOr<ProcessResult> result = RunProcess(request, call.Within(kAskPatience));
    if (!result.ok()) {
      if (!stopped_)
        LOG_WARN("runtime handler {}: {}", handlers_[i].name, result.status().ToString());
      continue;
    }
    // Older programs (crun before 1.9) know no such verb.
    if (result->exit_code != 0) continue;
    RuntimeFeatures features = ParseRuntimeFeatures(result->stdout_data);
    features.user_namespaces = features.user_namespaces && native_.user_namespaces;
    absl::MutexLock lock(&mutex_);
    features_[i] = features;
  }
}

}  // namespace crisp
