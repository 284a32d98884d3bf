// CheckpointTest: a node whose CRIU is a wrapper around a real one, so that a test can have a dump
// fail or hang, and short verbs for checkpoints.
#pragma once

#include <string>
#include <vector>

#include "test/integration/node_test.h"

namespace crisp {

class CheckpointTest : public NodeTest {
 protected:
  void SetUp() override;
  std::string ExtraConfig() override;

  // From now on a dump does this: "" again a real one, "fail" or "hang".
  void SetDumps(const std::string& what);
  // A real dump that began has come so far as to hang.
  void AwaitHang() const;

  std::string Archive(const std::string& name) const { return folder() / ("volumes/" + name); }
  absl::Status Capture(const std::string& container, const std::string& location,
                       int64_t timeout_seconds = 0);
  absl::Status CapturePod(const Pod& pod, const std::vector<std::string>& containers,
                          const std::string& folder);
  // A container made from the archive, otherwise like that one, and started.
  std::string Restore(const Pod& pod, const v1::ContainerConfig& like, const std::string& archive);
  // What `tar` lists.
  static std::vector<std::string> Names(const std::string& archive);
  static std::string Content(const std::string& archive, const std::string& name);

  // A container that counts in memory, a line each number; it has written /data and removed
  // /www/index.html before.
  v1::ContainerConfig Counter(const std::string& name) const;
  // The numbers in its log; the last one, and the first.
  std::vector<int> Counts(const Pod& pod, const std::string& name) const;
  int Count(const Pod& pod, const std::string& name) const;
  // Waits until it has counted on.
  void AwaitCount(const Pod& pod, const std::string& name, int beyond) const;
  int FirstCount(const Pod& pod, const std::string& name) const;
};

}  // namespace crisp
