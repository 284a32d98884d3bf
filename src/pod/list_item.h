// ListItem: what lists tell of one pod or container, as the bytes of its message. Made once for
// each version of the record, for kubelet lists everything every second and little has changed. Any
// thread.
#pragma once

#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "pod/cri_view.h"

namespace crisp {

class ListItem {
 public:
  using Bytes = std::shared_ptr<const std::string>;

  template <typename Record>
  Bytes Of(const std::shared_ptr<const Record>& record) ABSL_LOCKS_EXCLUDED(mutex_) {
    absl::MutexLock lock(&mutex_);
    if (version_ != record) {
      bytes_ = std::make_shared<const std::string>(ItemOf(*record).SerializeAsString());
      version_ = record;
    }
    return bytes_;
  }

 private:
  absl::Mutex mutex_;
  std::shared_ptr<const void> version_ ABSL_GUARDED_BY(mutex_);  // kept: its address is its name
  Bytes bytes_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace crisp
