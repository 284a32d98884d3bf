// RuntimeHandlers: the runtime handlers that pods may ask for (RuntimeClass), each the native
// launcher or the program of an OCI runtime. Which features a program has is asked once, in the
// background; until it has answered, and if it knows no such question (crun before 1.9), it has
// what every OCI runtime has: it can join a user namespace. Any thread; the list never changes.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "oci/runtime_features.h"

namespace crisp {

struct RuntimeHandler {
  std::string name;
  std::string path;  // of an OCI runtime's program; empty: the native launcher
  std::vector<std::string> args;

  bool native() const { return path.empty(); }
};

class RuntimeHandlers {
 public:
  // "crisp" and "native" are there always; `more` replaces those of the same name. default_name
  // must be one of them all. Begins to ask for features.
  RuntimeHandlers(std::vector<RuntimeHandler> more, std::string default_name,
                  const RuntimeFeatures& native);
  ~RuntimeHandlers();
  RuntimeHandlers(const RuntimeHandlers&) = delete;

  // "" is the default one. NotFound names those that exist.
  absl::StatusOr<RuntimeHandler> Find(std::string_view name) const;
  RuntimeFeatures FeaturesOf(const RuntimeHandler& handler) const;
  const std::vector<RuntimeHandler>& all() const { return handlers_; }
  const std::string& default_name() const { return default_name_; }
  // What this host can do by the native launcher.
  const RuntimeFeatures& native() const { return native_; }

 private:
  void Ask();

  std::vector<RuntimeHandler> handlers_;
  const std::string default_name_;
  const RuntimeFeatures native_;
  mutable absl::Mutex mutex_;
  std::vector<RuntimeFeatures> features_ ABSL_GUARDED_BY(mutex_);  // by place in handlers_
  std::atomic<bool> stopped_ = false;
  std::thread asking_;
};

}  // namespace crisp
