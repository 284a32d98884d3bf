// PullProgress: how far the layers of one pull or load are; written by its threads, read by those
// who wait. Any thread.
#pragma once

#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "image/image_store.h"

namespace crisp {

class PullProgress {
 public:
  // Adds a layer and returns its index.
  size_t Add(const std::string& digest, uint64_t total_bytes) {
    absl::MutexLock lock(&mutex_);
    layers_.push_back({digest, total_bytes});
    return layers_.size() - 1;
  }
  void Set(size_t index, LayerProgress::State state) {
    absl::MutexLock lock(&mutex_);
    LayerProgress& layer = layers_[index];
    layer.state = state;
    if (state == LayerProgress::State::kPresent || state == LayerProgress::State::kDone) {
      layer.done_bytes = layer.total_bytes;
    }
  }
  void Advance(size_t index, uint64_t bytes) {
    absl::MutexLock lock(&mutex_);
    layers_[index].done_bytes += bytes;
  }
  std::vector<LayerProgress> Now() const {
    absl::MutexLock lock(&mutex_);
    return layers_;
  }

 private:
  mutable absl::Mutex mutex_;
  std::vector<LayerProgress> layers_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
