#include "pod/pod_files.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>

#include "base/file.h"
#include "base/status.h"
#include "kernel/mount.h"
#include "oci/selinux.h"
#include "oci/validate.h"

namespace crisp {
namespace {

namespace v1 = ::runtime::v1;

constexpr size_t kMaxHostFileBytes = 1 << 20;
constexpr char kResolvConf[] = "/etc/resolv.conf";
// Where systemd-resolved keeps the real servers while /etc/resolv.conf names its stub on the host's
// loopback.
constexpr char kResolvedConf[] = "/run/systemd/resolve/resolv.conf";

bool IsPlainWord(std::string_view word) {
  for (const char c : word) {
    if (static_cast<unsigned char>(c) <= ' ' || c == '\x7f') return false;
  }
  return !word.empty();
}

template <typename Words>
absl::Status AppendWords(std::string& line, const Words& words, std::string_view field) {
  for (const std::string& word : words) {
    if (!IsPlainWord(word)) {
      return absl::InvalidArgumentError(
          Cat("dns_config.", field, ": \"", word, "\" is empty or has a space in it"));
    }
    line += Cat(" ", word);
  }
  return absl::OkStatus();
}

// Every server is on the loopback, which a pod with a network of its own cannot reach.
bool OnlyLoopback(std::string_view resolv_conf) {
  bool any = false;
  for (const std::string_view line : Split(resolv_conf, '\n')) {
    const std::vector<std::string_view> words = SplitWords(line, ' ');
    if (words.size() < 2 || words[0] != "nameserver") continue;
    any = true;
    if (!words[1].starts_with("127.") && words[1] != "::1") return false;
  }
  return any;
}

std::string HostResolvConf(bool own_network) {
  absl::StatusOr<std::string> text = ReadFile(kResolvConf, kMaxHostFileBytes);
  if (!text.ok()) return "";
  if (own_network && OnlyLoopback(*text)) {
    absl::StatusOr<std::string> real = ReadFile(kResolvedConf, kMaxHostFileBytes);
    if (real.ok()) return *std::move(real);
  }
  return *std::move(text);
}

}  // namespace

absl::StatusOr<std::string> ResolvConfText(const v1::PodSandboxConfig& config) {
  if (!config.has_dns_config()) {
    return HostResolvConf(config.linux().security_context().namespace_options().network() !=
                          v1::NODE);
  }
  const v1::DNSConfig& dns = config.dns_config();
  std::string text;
  if (dns.searches_size() > 0) {
    text += "search";
    RETURN_IF_ERROR(AppendWords(text, dns.searches(), "searches"));
    text += "\n";
  }
  for (const std::string& server : dns.servers()) {
    if (!IsPlainWord(server)) {
      return absl::InvalidArgumentError(Cat("dns_config.servers: \"", server, "\" is no address"));
    }
    text += Cat("nameserver ", server, "\n");
  }
  if (dns.options_size() > 0) {
    text += "options";
    RETURN_IF_ERROR(AppendWords(text, dns.options(), "options"));
    text += "\n";
  }
  return text;
}

std::string HostsText(std::string_view of_host, const record::Pod& pod) {
  std::string text(of_host);
  if (!text.empty() && text.back() != '\n') text += '\n';
  if (pod.hostname().empty()) return text;
  for (const std::string& ip : pod.ips()) text += Cat(ip, "\t", pod.hostname(), "\n");
  return text;
}

absl::Status WritePodFiles(const Paths& paths, const record::Pod& pod) {
  const IdMaps maps = UserNamespaceOf(pod.config());
  const std::string label = MountLabelOf(pod);
  const auto write = [&](const std::string& path, std::string_view text) -> absl::Status {
    RETURN_IF_ERROR(ReplaceFile(path, text));
    if (!label.empty()) RETURN_IF_ERROR(Relabel(path, label));
    if (maps.empty() || chown(path.c_str(), maps.RootUid(), maps.RootGid()) == 0) {
      return absl::OkStatus();
    }
    return ErrnoStatus("giving ", path, " to the pod's root");
  };
  const absl::StatusOr<std::string> hosts = ReadFile("/etc/hosts", kMaxHostFileBytes);
  const std::string_view of_host =
      hosts.ok() ? std::string_view(*hosts) : "127.0.0.1\tlocalhost\n::1\tlocalhost\n";
  RETURN_IF_ERROR(write(paths.Hosts(pod.id()), HostsText(of_host, pod)));
  ASSIGN_OR_RETURN(const std::string resolv_conf, ResolvConfText(pod.config()));
  RETURN_IF_ERROR(write(paths.ResolvConf(pod.id()), resolv_conf));
  return write(paths.Hostname(pod.id()), Cat(pod.hostname(), "\n"));
}

std::string MountLabelOf(const record::Pod& pod) {
  if (pod.selinux_level().empty()) return "";
  return BuildSelinuxLabels(pod.config().linux().security_context().selinux_options(),
                            pod.selinux_level())
      .mount;
}

absl::Status MountShm(const std::string& folder, uint64_t bytes, const record::Pod& pod) {
  const IdMaps maps = UserNamespaceOf(pod.config());
  RETURN_IF_ERROR(MakeFolders(folder, 0711));
  std::string data =
      Cat("mode=1777,size=", bytes, ",uid=", maps.RootUid(), ",gid=", maps.RootGid());
  const std::string label = MountLabelOf(pod);
  if (!label.empty()) data += Cat(",context=\"", label, "\"");
  if (mount("shm", folder.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, data.c_str()) != 0) {
    return ErrnoStatus("mounting a tmpfs at ", folder);
  }
  return absl::OkStatus();
}

absl::Status UnmountShm(const std::string& folder) {
  if (!PathExists(folder)) return absl::OkStatus();
  return Unmount(folder, /*lazy=*/true);
}

std::string NodeName() {
  char name[HOST_NAME_MAX + 1] = {};
  gethostname(name, sizeof name - 1);
  return name;
}

}  // namespace crisp
