#include "network/port_map.h"

#include <algorithm>

#include "base/status.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr const char* kPortMigrations[] = {
    "CREATE TABLE network_host_port (protocol TEXT NOT NULL, host_port INTEGER NOT NULL, host_ip "
    "TEXT NOT NULL,"
    " pod TEXT NOT NULL, target TEXT NOT NULL, container_port INTEGER NOT NULL,"
    " PRIMARY KEY (protocol, host_port, host_ip)) WITHOUT ROWID;"
    "CREATE INDEX network_host_port_pod ON network_host_port (pod);",
};

bool Collide(const HostPort& a, const HostPort& b) {
  return a.protocol == b.protocol && a.host_port == b.host_port &&
         a.host_ip.is_v4() == b.host_ip.is_v4() &&
         (a.host_ip.IsAny() || b.host_ip.IsAny() || a.host_ip == b.host_ip);
}

absl::Status CheckPort(const PortMap& port) {
  if (port.protocol != "tcp" && port.protocol != "udp" && port.protocol != "sctp") {
    return absl::InvalidArgumentError(Cat("host port ", port.host_port, ": protocol \"",
                                          port.protocol, "\" is none of tcp, udp, sctp"));
  }
  if (port.host_port < 0 || port.host_port > 65535 || port.container_port < 1 ||
      port.container_port > 65535) {
    return absl::InvalidArgumentError(Cat("host port ", port.host_port, " to container port ",
                                          port.container_port,
                                          ": both must lie between 1 and 65535"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string HostPort::ToString() const {
  const std::string ip = host_ip.IsAny()   ? "*"
                         : host_ip.is_v4() ? host_ip.ToString()
                                           : Cat("[", host_ip.ToString(), "]");
  return Cat(ip, ":", host_port, "/", protocol);
}

absl::StatusOr<std::vector<HostPort>> ExpandPorts(const std::vector<PortMap>& ports,
                                                  const std::vector<IpAddress>& addresses) {
  std::vector<HostPort> entries;
  for (const PortMap& port : ports) {
    if (port.host_port == 0) continue;
    RETURN_IF_ERROR(CheckPort(port));
    std::optional<IpAddress> host_ip;
    if (!port.host_ip.empty()) {
      ASSIGN_OR_RETURN(host_ip, IpAddress::Parse(port.host_ip));
    }
    bool reachable = false;
    for (const IpAddress& target : addresses) {
      if (host_ip && host_ip->is_v4() != target.is_v4()) continue;
      const IpAddress any = target.Masked(0);
      entries.push_back(
          {port.protocol, port.host_port, host_ip.value_or(any), target, port.container_port});
      reachable = true;
    }
    if (!reachable) {
      return absl::InvalidArgumentError(Cat("host port ", port.host_port, " on ", port.host_ip,
                                            ": the pod has no address of that family"));
    }
  }
  std::sort(entries.begin(), entries.end());
  entries.erase(std::unique(entries.begin(), entries.end()), entries.end());
  return entries;
}

absl::StatusOr<std::unique_ptr<PortMapTable>> PortMapTable::Open(Database& database) {
  RETURN_IF_ERROR(Migrate(database, "network_host_port", kPortMigrations));
  std::unique_ptr<PortMapTable> table(new PortMapTable(database));
  RETURN_IF_ERROR(table->Load());
  return table;
}

absl::Status PortMapTable::Load() {
  absl::MutexLock lock(&mutex_);
  return database_.Query(
      "SELECT pod, protocol, host_port, host_ip, target, container_port FROM network_host_port", {},
      [&](const Row& row) -> absl::Status {
        mutex_.AssertHeld();
        ASSIGN_OR_RETURN(const IpAddress host_ip, IpAddress::Parse(row.Text(3)));
        ASSIGN_OR_RETURN(const IpAddress target, IpAddress::Parse(row.Text(4)));
        pods_[row.Text(0)].push_back({row.Text(1), static_cast<int>(row.Int(2)), host_ip, target,
                                      static_cast<int>(row.Int(5))});
        return absl::OkStatus();
      });
}

absl::Status PortMapTable::CheckFree(const std::string& pod_id, const HostPort& wanted) const {
  for (const auto& [pod, entries] : pods_) {
    if (pod == pod_id) continue;
    for (const HostPort& entry : entries) {
      if (!Collide(entry, wanted)) continue;
      return absl::AlreadyExistsError(Cat("host port ", wanted.ToString(), " is taken by pod ", pod,
                                          " (", entry.ToString(), " to ", entry.target.ToString(),
                                          ":", entry.container_port, ")"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<HostPort>> PortMapTable::Claim(const std::string& pod_id,
                                                          const std::vector<PortMap>& ports,
                                                          const std::vector<IpAddress>& addresses) {
  ASSIGN_OR_RETURN(std::vector<HostPort> entries, ExpandPorts(ports, addresses));
  for (size_t i = 0; i < entries.size(); ++i) {
    for (size_t j = i + 1; j < entries.size(); ++j) {
      if (Collide(entries[i], entries[j])) {
        return absl::InvalidArgumentError(
            Cat("host port ", entries[j].ToString(), " is named twice in pod ", pod_id));
      }
    }
  }
  absl::MutexLock lock(&mutex_);
  if (entries.empty() && pods_.count(pod_id) == 0) return entries;
  for (const HostPort& entry : entries) RETURN_IF_ERROR(CheckFree(pod_id, entry));
  RETURN_IF_ERROR(database_.Transaction([&](Connection& connection) -> absl::Status {
    RETURN_IF_ERROR(connection.Run("DELETE FROM network_host_port WHERE pod = ?", pod_id));
    for (const HostPort& entry : entries) {
      RETURN_IF_ERROR(
          connection.Run("INSERT INTO network_host_port (pod, protocol, host_port, host_ip, "
                         "target, container_port)"
                         " VALUES (?, ?, ?, ?, ?, ?)",
                         pod_id, entry.protocol, entry.host_port, entry.host_ip.ToString(),
                         entry.target.ToString(), entry.container_port));
    }
    return absl::OkStatus();
  }));
  pods_.erase(pod_id);
  if (!entries.empty()) pods_[pod_id] = entries;
  return entries;
}

absl::Status PortMapTable::Release(const std::string& pod_id) {
  absl::MutexLock lock(&mutex_);
  if (pods_.count(pod_id) == 0) return absl::OkStatus();
  RETURN_IF_ERROR(database_.Run("DELETE FROM network_host_port WHERE pod = ?", pod_id));
  pods_.erase(pod_id);
  return absl::OkStatus();
}

std::vector<HostPort> PortMapTable::OfPod(const std::string& pod_id) const {
  absl::MutexLock lock(&mutex_);
  const auto pod = pods_.find(pod_id);
  return pod == pods_.end() ? std::vector<HostPort>() : pod->second;
}

std::vector<HostPort> PortMapTable::All() const {
  absl::MutexLock lock(&mutex_);
  std::vector<HostPort> all;
  for (const auto& [pod, entries] : pods_) all.insert(all.end(), entries.begin(), entries.end());
  return all;
}

std::vector<std::string> PortMapTable::Pods() const {
  absl::MutexLock lock(&mutex_);
  std::vector<std::string> pods;
  for (const auto& [pod, entries] : pods_) pods.push_back(pod);
  return pods;
}

}  // namespace crisp
