// AddressTable: which pod has which address, in SQLite, with the set of taken ones in memory.
// Addresses are handed out next-fit: one that was freed stays unused for as long as possible, so
// that nobody's stale cache or connection meets its next owner. Any thread; a pod has at most one
// address of each pool.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "db/database.h"
#include "kernel/ip_address.h"

namespace crisp {

class AddressTable {
 public:
  // The database must outlive this.
  static absl::StatusOr<std::unique_ptr<AddressTable>> Open(Database& database);

  // One address of each pool (a subnet; its first address is the gateway's and never handed out,
  // nor is IPv4's last). The same addresses again if the pod has them already. All or nothing;
  // ResourceExhausted if a pool is full.
  absl::StatusOr<std::vector<IpAddress>> Allocate(const std::string& pod_id,
                                                  const std::vector<IpPrefix>& pools)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Frees all the pod has; ok if it has nothing.
  absl::Status Release(const std::string& pod_id) ABSL_LOCKS_EXCLUDED(mutex_);

  std::vector<std::string> Pods() const ABSL_LOCKS_EXCLUDED(mutex_);
  bool Holds(const std::string& pod_id) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Those that a pod (this pod) has an address of.
  std::vector<IpPrefix> PoolsInUse() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<IpPrefix> PoolsOf(const std::string& pod_id) const ABSL_LOCKS_EXCLUDED(mutex_);

  // The gateway's address in a pool, and how many pods a pool has room for.
  static IpAddress Gateway(const IpPrefix& pool) { return pool.Subnet().address.Plus(1); }
  static uint64_t Capacity(const IpPrefix& pool);

 private:
  struct Pool {
    std::map<uint64_t, std::string> taken;  // offset in the subnet -> pod
    uint64_t last = 1;                      // handed out last
  };

  explicit AddressTable(Database& database) : database_(database) {}
  absl::Status Load();
  static absl::StatusOr<uint64_t> NextFree(const Pool& pool, const IpPrefix& subnet);

  Database& database_;
  mutable absl::Mutex mutex_;
  std::map<std::string, Pool> pools_ ABSL_GUARDED_BY(mutex_);  // by the subnet's text
  std::map<std::string, std::map<std::string, uint64_t>> pods_
      ABSL_GUARDED_BY(mutex_);  // pod -> pool -> offset
};

}  // namespace crisp
