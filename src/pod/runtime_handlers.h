// RuntimeHandlers: the runtime handlers that pods may ask for (RuntimeClass), each the native
// launcher or the program of an OCI runtime. Immutable; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace crisp {

struct RuntimeHandler {
  std::string name;
  std::string path;  // of an OCI runtime's program; empty: the native launcher
  std::vector<std::string> args;
  bool sandboxed = false;  // its containers have a kernel of their own (runsc)

  bool native() const { return path.empty(); }
};

// What Status tells of a handler.
struct RuntimeFeatures {
  bool recursive_read_only_mounts = false;
  bool user_namespaces = false;
};

class RuntimeHandlers {
 public:
  // "crisp" and "native" are there always; `more` replaces those of the same name. default_name
  // must be one of them all.
  RuntimeHandlers(std::vector<RuntimeHandler> more, std::string default_name,
                  const RuntimeFeatures& native);

  // "" is the default one. NotFound names those that exist.
  absl::StatusOr<RuntimeHandler> Find(std::string_view name) const;
  // The host's, for every one: an OCI runtime finds its mounts as the native launcher makes them,
  // and only has to join the pod's user namespace, which all can whose containers run on the host's
  // kernel.
  RuntimeFeatures FeaturesOf(const RuntimeHandler& handler) const;
  const RuntimeFeatures& features() const { return features_; }
  const std::vector<RuntimeHandler>& all() const { return handlers_; }
  const std::string& default_name() const { return default_name_; }

 private:
  std::vector<RuntimeHandler> handlers_;
  std::string default_name_;
  RuntimeFeatures features_;
};

}  // namespace crisp
