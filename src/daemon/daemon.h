// Daemon: everything of crispd put together, in the order in which one part needs the other: folder
// locks, database, images, networks, runtime (with its recovery), services, server. Start(),
// WarmUp() and Stop() on the main thread.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "daemon/config.h"

namespace crisp {

class Daemon {
 public:
  // Serves when it returns. After an error nothing is left running.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const Config& config);
  ~Daemon();

  // Does in the background what makes the first pod quick. Once, after Start().
  void WarmUp();
  // Takes no new calls, gives those in flight a moment, and goes. Pods keep running.
  void Stop();

 private:
  struct Parts;
  explicit Daemon(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

// The crisp-monitor program: the configured one, or the one beside this program. NotFound if it is
// absent, PermissionDenied if it cannot be executed.
absl::StatusOr<std::string> FindMonitor(const Config& config);

}  // namespace crisp
