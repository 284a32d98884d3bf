// CniNetwork: pods' networks by the standard CNI plugin chain (specification 0.3.0 to 1.1.0). Which
// configuration new pods get is told from outside (CniWatch); a pod keeps the one it was added
// with, in the database from before the first plugin runs, so that a DEL always finds what the ADD
// did, even if the file has changed or the daemon died in between. Any thread.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "db/database.h"
#include "network/cni_cache.h"
#include "network/cni_config.h"
#include "network/cni_plugin.h"
#include "network/network.h"

namespace crisp {

class CniNetwork : public Network {
 public:
  // The database must outlive this.
  static absl::StatusOr<std::shared_ptr<CniNetwork>> Open(const NetworkOptions& options,
                                                          Database& database);

  std::string_view kind() const override { return "cni"; }
  absl::StatusOr<PodNetworkResult> Add(const PodNetworkRequest& request, const Call& call) override;
  absl::Status Del(const PodNetworkRequest& request, const std::string& state_json,
                   const Call& call) override;
  absl::Status Check(const PodNetworkRequest& request, const std::string& state_json,
                     const Call& call) override;
  // DEL for every other pod of ours, then GC (from 1.1.0 on) with all attachments that are still
  // valid, those of other runtimes included.
  absl::Status ReleaseAllExcept(const std::set<std::string>& pod_ids, const Call& call) override;
  absl::Status Ready() const override ABSL_LOCKS_EXCLUDED(mutex_);

  // The configuration for new pods from now on; null and a reason if there is none.
  void SetConfig(std::shared_ptr<const CniConfig> config, absl::Status why_not)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::shared_ptr<const CniConfig> Config() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Asks all plugins for their STATUS if the configuration is of a version that has it, and keeps
  // the answer for Ready().
  void AskStatus(const Call& call) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  CniNetwork(const NetworkOptions& options, Database& database);
  CniInvocation Invocation(std::string command, const CniAttachment& attachment) const;
  absl::StatusOr<Json> RunAdd(const CniConfig& config, const CniAttachment& attachment,
                              const Call& call) const;
  absl::Status RunDel(const CniConfig& config, const CniAttachment& attachment,
                      const Call& call) const;
  absl::Status RunCheck(const CniConfig& config, const CniAttachment& attachment,
                        const Call& call) const;
  absl::Status RunGc(const std::set<std::string>& pod_ids, const Call& call);
  absl::StatusOr<std::optional<CniAttachment>> Journaled(const std::string& pod_id) const;
  absl::StatusOr<std::optional<CniAttachment>> Recorded(const PodNetworkRequest& request,
                                                        const std::string& state_json) const;

  const NetworkOptions options_;
  const CniCache cache_;
  Database& database_;
  mutable absl::Mutex mutex_;
  std::shared_ptr<const CniConfig> config_ ABSL_GUARDED_BY(mutex_);
  absl::Status ready_ ABSL_GUARDED_BY(mutex_);
};

// The capability arguments that a pod has, whether or not a plugin asks for them (CNI conventions:
// portMappings, bandwidth, dns, cgroupPath, io.kubernetes.cri.pod-annotations). InvalidArgument for
// a bandwidth that is no quantity.
absl::StatusOr<Json> CniCapabilityArgs(const PodNetworkRequest& request);

// Bits per second of a Kubernetes quantity such as "10M"; InvalidArgument unless it lies between 1k
// and 1P.
absl::StatusOr<int64_t> ParseBandwidth(std::string_view text);

}  // namespace crisp
