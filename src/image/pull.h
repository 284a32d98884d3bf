// Puller: one flight for equal pulls. Each flight runs on a thread of its own; callers wait for it
// and may go at any time, and when the last has gone the flight ends. Any thread; the destructor
// ends all flights and waits for them.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/call.h"
#include "image/catalog.h"
#include "image/image_store.h"
#include "registry/client.h"

namespace crisp {

class Puller {
 public:
  Puller(ImageCatalog& catalog, const ImageStoreOptions& options);
  ~Puller();

  // As ImageStore::Pull.
  absl::StatusOr<std::string> Pull(const PullRequest& request, const Call& call,
                                   const ProgressSink& progress) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  struct Flight;
  std::shared_ptr<Flight> Join(const std::string& key, const Reference& reference,
                               const RegistryCredentials& credentials) ABSL_LOCKS_EXCLUDED(mutex_);
  void Run(const std::string& key, const std::shared_ptr<Flight>& flight)
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Leave(const std::string& key, const std::shared_ptr<Flight>& flight)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::string> Fetch(Flight& flight);

  ImageCatalog& catalog_;
  const ImageStoreOptions& options_;
  RegistryClient client_;
  absl::Mutex mutex_;
  std::unordered_map<std::string, std::shared_ptr<Flight>> flights_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace crisp
