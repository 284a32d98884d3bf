// PortMapTable: which pod has which host port, in SQLite, so that two pods never get the same one
// and the packet filter's maps can be rebuilt at any time. Any thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "db/database.h"
#include "kernel/ip_address.h"
#include "network/network.h"

namespace crisp {

// One host port in one address family: what arrives at host_ip:host_port goes to
// target:container_port.
struct HostPort {
  std::string protocol;
  int host_port = 0;
  IpAddress host_ip;  // 0.0.0.0 or :: for any
  IpAddress target;
  int container_port = 0;

  std::string ToString() const;  // "127.0.0.1:8080/tcp", "*:8080/tcp"
  auto operator<=>(const HostPort&) const = default;
};

class PortMapTable {
 public:
  // The database must outlive this.
  static absl::StatusOr<std::unique_ptr<PortMapTable>> Open(Database& database);

  // Takes the host ports for a pod with these addresses; entries without a host port are skipped.
  // Replaces what the pod had. AlreadyExists names the pod that has one of them; InvalidArgument
  // for ports, protocols or addresses that cannot be. All or nothing.
  absl::StatusOr<std::vector<HostPort>> Claim(const std::string& pod_id,
                                              const std::vector<PortMap>& ports,
                                              const std::vector<IpAddress>& addresses)
      ABSL_LOCKS_EXCLUDED(mutex_);

  absl::Status Release(const std::string& pod_id) ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<HostPort> OfPod(const std::string& pod_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<HostPort> All() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<std::string> Pods() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  explicit PortMapTable(Database& database) : database_(database) {}
  absl::Status Load();
  absl::Status CheckFree(const std::string& pod_id, const HostPort& wanted) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  Database& database_;
  mutable absl::Mutex mutex_;
  std::map<std::string, std::vector<HostPort>> pods_ ABSL_GUARDED_BY(mutex_);
};

// What a pod's port list means for a pod with these addresses: one entry for each family it applies
// to.
absl::StatusOr<std::vector<HostPort>> ExpandPorts(const std::vector<PortMap>& ports,
                                                  const std::vector<IpAddress>& addresses);

}  // namespace crisp
