#include "pod/runtime_handlers.h"

#include <algorithm>

#include "base/status.h"

namespace crisp {

RuntimeHandlers::RuntimeHandlers(std::vector<RuntimeHandler> more, std::string default_name,
                                 const RuntimeFeatures& native)
    : handlers_({{"crisp", "", {}, false}, {"native", "", {}, false}}),
      default_name_(std::move(default_name)),
      features_(native) {
  for (RuntimeHandler& handler : more) {
    std::erase_if(handlers_, [&](const RuntimeHandler& old) { return old.name == handler.name; });
    handlers_.push_back(std::move(handler));
  }
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
  RuntimeFeatures features = features_;
  if (handler.sandboxed) features.user_namespaces = false;
  return features;
}

}  // namespace crisp
