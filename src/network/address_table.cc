#include "network/address_table.h"

#include <algorithm>

#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr uint64_t kFirstOffset = 2;  // 0 names the subnet, 1 is the gateway
constexpr int kMostHostBits = 31;

constexpr const char* kAddressMigrations[] = {
    "CREATE TABLE network_address (pool TEXT NOT NULL, position INTEGER NOT NULL, pod TEXT NOT "
    "NULL,"
    " PRIMARY KEY (pool, position)) WITHOUT ROWID;"
    "CREATE UNIQUE INDEX network_address_pod ON network_address (pod, pool);"
    "CREATE TABLE network_pool (pool TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;",
};

// One past the last offset that a pod may have.
uint64_t EndOffset(const IpPrefix& pool) {
  const int bits = std::min(pool.address.bits() - pool.length, kMostHostBits);
  const uint64_t size = uint64_t{1} << bits;
  return pool.address.is_v4() ? std::max<uint64_t>(size, 1) - 1 : size;  // IPv4's last is broadcast
}

}  // namespace

absl::StatusOr<std::unique_ptr<AddressTable>> AddressTable::Open(Database& database) {
  RETURN_IF_ERROR(Migrate(database, "network_address", kAddressMigrations));
  std::unique_ptr<AddressTable> table(new AddressTable(database));
  RETURN_IF_ERROR(table->Load());
  return table;
}

absl::Status AddressTable::Load() {
  absl::MutexLock lock(&mutex_);
  RETURN_IF_ERROR(database_.Query("SELECT pool, last FROM network_pool", {}, [&](const Row& row) {
    mutex_.AssertHeld();
    pools_[row.Text(0)].last = static_cast<uint64_t>(row.Int(1));
    return absl::OkStatus();
  }));
  return database_.Query("SELECT pool, position, pod FROM network_address", {},
                         [&](const Row& row) {
                           mutex_.AssertHeld();
                           const auto offset = static_cast<uint64_t>(row.Int(1));
                           pools_[row.Text(0)].taken[offset] = row.Text(2);
                           pods_[row.Text(2)][row.Text(0)] = offset;
                           return absl::OkStatus();
                         });
}

uint64_t AddressTable::Capacity(const IpPrefix& pool) {
  const uint64_t end = EndOffset(pool);
  return end > kFirstOffset ? end - kFirstOffset : 0;
}

absl::StatusOr<uint64_t> AddressTable::NextFree(const Pool& pool, const IpPrefix& subnet) {
  const uint64_t end = EndOffset(subnet);
  const uint64_t capacity = Capacity(subnet);
  if (pool.taken.size() >= capacity) {
    return absl::ResourceExhaustedError(
        Cat("no address is free in subnet ", subnet.ToString(), ": all ", capacity,
            " are taken by pods; remove pods or configure a larger subnet"));
  }
  // Walks the taken offsets from the last one on: as long as they follow each other without a gap.
  uint64_t candidate = pool.last + 1;
  if (candidate < kFirstOffset || candidate >= end) candidate = kFirstOffset;
  for (auto taken = pool.taken.lower_bound(candidate);; ++taken) {
    if (taken == pool.taken.end() || taken->first != candidate) return candidate;
    if (++candidate >= end) {
      candidate = kFirstOffset;
      taken = pool.taken.lower_bound(candidate);
      if (taken == pool.taken.end() || taken->first != candidate) return candidate;
      ++candidate;
    }
  }
}

absl::StatusOr<std::vector<IpAddress>> AddressTable::Allocate(const std::string& pod_id,
                                                              const std::vector<IpPrefix>& pools) {
  absl::MutexLock lock(&mutex_);
  struct Grant {
    std::string pool;
    uint64_t offset;
  };
  std::vector<IpAddress> addresses;
  std::vector<Grant> grants;
  for (const IpPrefix& prefix : pools) {
    const IpPrefix subnet = prefix.Subnet();
    const std::string name = subnet.ToString();
    uint64_t offset = 0;
    if (const auto pod = pods_.find(pod_id); pod != pods_.end() && pod->second.count(name) != 0) {
      offset = pod->second[name];
    } else {
      ASSIGN_OR_RETURN(offset, NextFree(pools_[name], subnet));
      grants.push_back({name, offset});
    }
    addresses.push_back(subnet.address.Plus(offset));
  }
  if (grants.empty()) return addresses;
  RETURN_IF_ERROR(database_.Transaction([&](Connection& connection) -> absl::Status {
    for (const Grant& grant : grants) {
      RETURN_IF_ERROR(
          connection.Run("INSERT INTO network_address (pool, position, pod) VALUES (?, ?, ?)",
                         grant.pool, grant.offset, pod_id));
      RETURN_IF_ERROR(
          connection.Run("INSERT OR REPLACE INTO network_pool (pool, last) VALUES (?, ?)",
                         grant.pool, grant.offset));
    }
    return absl::OkStatus();
  }));
  for (const Grant& grant : grants) {
    Pool& pool = pools_[grant.pool];
    pool.taken[grant.offset] = pod_id;
    pool.last = grant.offset;
    pods_[pod_id][grant.pool] = grant.offset;
  }
  return addresses;
}

absl::Status AddressTable::Release(const std::string& pod_id) {
  absl::MutexLock lock(&mutex_);
  const auto pod = pods_.find(pod_id);
  if (pod == pods_.end()) return absl::OkStatus();
  RETURN_IF_ERROR(database_.Run("DELETE FROM network_address WHERE pod = ?", pod_id));
  for (const auto& [pool, offset] : pod->second) pools_[pool].taken.erase(offset);
  pods_.erase(pod);
  return absl::OkStatus();
}

std::vector<std::string> AddressTable::Pods() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> pods;
  for (const auto& [pod, offsets] : pods_) pods.push_back(pod);
  return pods;
}

std::vector<IpPrefix> AddressTable::PoolsInUse() const {
  absl::MutexLock lock(&mutex_);
  std::vector<IpPrefix> pools;
  for (const auto& [name, pool] : pools_) {
    const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(name);
    if (!pool.taken.empty() && prefix.ok()) pools.push_back(*prefix);
  }
  return pools;
}

std::vector<IpPrefix> AddressTable::PoolsOf(const std::string& pod_id) const {
  absl::MutexLock lock(&mutex_);
  std::vector<IpPrefix> pools;
  const auto pod = pods_.find(pod_id);
  if (pod == pods_.end()) return pools;
  for (const auto& [name, offset] : pod->second) {
    if (const absl::StatusOr<IpPrefix> prefix = IpPrefix::Parse(name); prefix.ok()) {
      pools.push_back(*prefix);
    }
  }
  return pools;
}

bool AddressTable::Holds(const std::string& pod_id) const {
  absl::MutexLock lock(&mutex_);
  return pods_.count(pod_id) != 0;
}

}  // namespace crisp
