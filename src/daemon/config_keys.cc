#include "base/text.h"
#include "daemon/config.h"

namespace crisp {
namespace {

constexpr Key<Config> kConfigKeys[] = {
    {"root", &Config::root,
     "Where images, the writable layers of containers and the database are kept. Survives a "
     "reboot. "
     "Needs a file system that can be the upper layer of an overlay (ext4, xfs, btrfs)."},
    {"state", &Config::state,
     "Where what lasts as long as a boot is kept: sockets of monitors, bundles, pinned namespaces. "
     "A tmpfs. Two daemons on one node need different root, state and listen."},
    {"listen", &Config::listen,
     "The socket that kubelet, crictl and crisp connect to, as unix:///PATH. Mode 0660."},
    {"log_level", &Config::log_level,
     "How much crispd writes to stderr: trace, debug, info, warn, error or off."},
    {"monitor", &Config::monitor,
     "The crisp-monitor program. Empty: the one beside crispd's own program."},
    {"cgroup_driver", &Config::cgroup_driver,
     "Who makes the cgroups of containers: cgroupfs is crispd itself, systemd asks systemd for a "
     "scope each. auto: systemd where it is the init and cgroup version 2 is alone. kubelet must "
     "use "
     "the same, which it learns from crispd."},
    {"default_runtime", &Config::default_runtime,
     "The runtime handler of pods that ask for none: native (also called crisp), or the name of a "
     "[[runtime]]. Pods that exist keep theirs."},
    {"server.threads", &Config::server_threads,
     "Most calls that are served at one time; a call beyond is refused with ResourceExhausted. A "
     "call that waits (a graceful stop, a pull, an exec) holds a thread.",
     8, 16384},
    {"server.message_mib", &Config::server_message_mib,
     "Largest gRPC message, in MiB, in either direction. kubelet's own limit is 16.", 4, 256},
    {"container.cdi_dirs", &Config::container_cdi_dirs,
     "Where specifications of CDI devices (*.json, *.yaml) are looked for. Of two that describe "
     "the "
     "same device, the one in the later folder counts."},
    {"container.log_line_max", &Config::container_log_line_max,
     "Bytes of content in one line of a container's log; a longer line is written in parts.", 256,
     65536},
    {"container.shm_mib", &Config::container_shm_mib, "Size of a pod's /dev/shm, in MiB.", 1,
     1 << 20},
    {"checkpoint.criu", &Config::checkpoint_criu,
     "The CRIU program, or its name, which is looked for in the folders of system programs. Needs "
     "version 4 or newer. Empty: no checkpoints are made and none restored."},
    {"checkpoint.restore_images", &Config::checkpoint_restore_images,
     "Whether a container whose image is a checkpoint is restored. A checkpoint holds processes as "
     "they were, with any privileges: who can name an image in a pod then has the node. Archives, "
     "which only callers of this interface can name, are restored in any case."},
    {"image.parallel_layers", &Config::image_parallel_layers,
     "Layers of one image that are fetched and unpacked at one time.", 1, 32},
    {"image.max_layer_mib", &Config::image_max_layer_mib,
     "Largest layer, unpacked, in MiB; a pull that exceeds it fails.", 1, 1 << 30},
    {"image.max_layer_entries", &Config::image_max_layer_entries,
     "Most files, folders and links in one layer; a pull that exceeds it fails.", 1, 1 << 30},
    {"image.max_layers", &Config::image_max_layers, "Most layers in one image.", 1, 500},
    {"image.connect_seconds", &Config::image_connect_seconds,
     "A registry that cannot be connected to within so long is given up.", 1, 3600},
    {"image.silence_seconds", &Config::image_silence_seconds,
     "A transfer that brings no byte for so long is given up.", 1, 3600},
    {"image.attempts", &Config::image_attempts,
     "How often a request to a registry is tried when its failure may pass; a broken transfer goes "
     "on where it broke.",
     1, 100},
    {"image.pinned", &Config::image_pinned,
     "Names of images that kubelet's garbage collection leaves alone."},
    {"network.mode", &Config::network_mode,
     "auto: CNI as soon as cni.conf_dir holds a configuration, the built-in bridge until then. "
     "bridge or cni: always that one."},
    {"network.bridge", &Config::network_bridge,
     "The built-in network's bridge. Empty: crisp0, or the next free number when another daemon "
     "owns it."},
    {"network.subnets", &Config::network_subnets,
     "Subnets of the built-in network, at most one of IPv4 and one of IPv6. Empty: chosen once so "
     "that they overlap no route of the node, then kept."},
    {"network.masquerade", &Config::network_masquerade,
     "Whether what pods send beyond the built-in network leaves with the node's own address."},
    {"network.mtu", &Config::network_mtu,
     "Largest packet on the built-in network. 0: what the default route's link has.", 0, 65535},
    {"network.netns_dir", &Config::network_netns_dir,
     "Where pods' network namespaces are pinned, so that `ip netns` sees them."},
    {"cni.conf_dir", &Config::cni_conf_dir,
     "CNI network configuration. The first valid *.conflist or *.conf by name is used for new "
     "pods; "
     "changes are seen at once."},
    {"cni.bin_dirs", &Config::cni_bin_dirs, "Where CNI plugins are looked for, in this order."},
    {"cni.cache_dir", &Config::cni_cache_dir,
     "Where results of CNI plugins are kept until the pod is gone. Empty: the folder cni in root."},
    {"streaming.address", &Config::streaming_address,
     "Where the server for exec, attach and port-forward listens: an IPv4 or IPv6 address. kubelet "
     "and crictl connect from this node, so loopback suffices."},
    {"streaming.port", &Config::streaming_port, "Its port. 0: any free one.", 0, 65535},
    {"streaming.tls_cert", &Config::streaming_tls_cert,
     "Its certificate (PEM, with intermediates). With it clients must speak TLS; needs tls_key. "
     "Give one before listening on anything but loopback."},
    {"streaming.tls_key", &Config::streaming_tls_key, "Private key (PEM) of tls_cert."},
    {"streaming.idle_seconds", &Config::streaming_idle_seconds,
     "A session without a byte in either direction for so long is cut.", 1, 1 << 30},
    {"streaming.creation_seconds", &Config::streaming_creation_seconds,
     "A client that takes longer for its request, or for the streams it must open, is cut.", 1,
     3600},
    {"streaming.max_connections", &Config::streaming_max_connections,
     "Most clients at one time; one beyond is refused.", 1, 65536},
};

constexpr Key<RegistryConfig> kRegistryKeys[] = {
    {"host", &RegistryConfig::host,
     "The host, as image names spell it: \"registry.k8s.io\", \"docker.io\", \"10.0.0.5:5000\"."},
    {"mirrors", &RegistryConfig::mirrors,
     "Tried in this order before the host itself. A mirror is a URL that replaces the host; the "
     "repository's path is kept. http:// is allowed here because it is written out."},
    {"ca_file", &RegistryConfig::ca_file,
     "Certificate authority (PEM) that signs this host's and its mirrors' certificates, besides "
     "the system's authorities."},
    {"client_cert", &RegistryConfig::client_cert,
     "Certificate (PEM) to present to the host; needs client_key."},
    {"client_key", &RegistryConfig::client_key, "Private key (PEM) of client_cert."},
    {"insecure", &RegistryConfig::insecure,
     "Whether any certificate is accepted, of the host and of its mirrors."},
    {"plain_http", &RegistryConfig::plain_http, "Whether the host itself is spoken to by http."},
};

constexpr Key<RuntimeConfig> kRuntimeKeys[] = {
    {"name", &RuntimeConfig::name, "The handler's name, as a RuntimeClass spells it."},
    {"kind", &RuntimeConfig::kind,
     "oci: containers are run by the program at path, by the command line that crun and runc "
     "share. "
     "runsc: by gVisor's, whose containers have a kernel of their own. native: by crisp itself, "
     "under another name."},
    {"path", &RuntimeConfig::path, "The OCI runtime's program, an absolute path."},
    {"args", &RuntimeConfig::args,
     "Arguments that come before its verb. Of kind runsc, --network=host and --oci-seccomp are "
     "added "
     "unless they say --network and --oci-seccomp."},
};

// The doc as comment lines of at most 100 columns.
std::string Comment(std::string_view doc) {
  std::string out, line = "#";
  for (std::string_view word : SplitWords(doc, ' ')) {
    if (line.size() + 1 + word.size() > 100) {
      out += line + "\n";
      line = "#";
    }
    line += Cat(" ", word);
  }
  return out + line + "\n";
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

template <typename Object>
std::string ValueText(const Object& object, const typename Key<Object>::Field& field) {
  return std::visit(
      [&](auto member) -> std::string {
        const auto& value = object.*member;
        using Value = std::decay_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, std::string>) {
          return Quoted(value);
        } else if constexpr (std::is_same_v<Value, bool>) {
          return value ? "true" : "false";
        } else if constexpr (std::is_same_v<Value, int64_t>) {
          return Cat(value);
        } else {
          std::string out = "[";
          for (const std::string& item : value) out += (out == "[" ? "" : ", ") + Quoted(item);
          return out + "]";
        }
      },
      field);
}

constexpr std::string_view kHead =
    R"(# The configuration of crispd, with every key, its default and what it does. Everything here is a
# comment, so that an empty file and no file mean the same; remove the # of a line to change it.
#
# crispd reads /etc/crisp/crisp.toml (or the file that --config names), then every *.toml in the folder
# of the same name with .d appended (/etc/crisp/crisp.toml.d/) in the order of their names, then its
# flags --root, --state, --listen and --log-level. The last one wins. A list replaces the list before
# it; a [[registry]] replaces an earlier one of the same host, a [[runtime]] one of the same name. An
# unknown key is an error.
)";

constexpr std::string_view kRegistryHead =
    R"(
# One [[registry]] table for each registry that needs more than its name. Without any, registries are
# spoken to by https with the system's certificate authorities.
#
# [[registry]]
)";

constexpr std::string_view kRuntimeHead =
    R"(
# One [[runtime]] table for each runtime handler besides native.
#
# [[runtime]]
)";

template <typename Object>
std::string Annotated(std::span<const Key<Object>> keys, const Object& example) {
  std::string out;
  for (const Key<Object>& key : keys)
    out += Cat("\n", Comment(key.doc), "# ", key.name, " = ", ValueText(example, key.field), "\n");
  return out;
}

}  // namespace

std::span<const Key<Config>> ConfigKeys() { return kConfigKeys; }
std::span<const Key<RegistryConfig>> RegistryKeys() { return kRegistryKeys; }
std::span<const Key<RuntimeConfig>> RuntimeKeys() { return kRuntimeKeys; }

std::string AnnotatedConfig() {
  std::string out(kHead), section;
  for (const Key<Config>& key : kConfigKeys) {
    const size_t dot = key.name.find('.');
    std::string_view name = key.name;
    if (dot != std::string_view::npos) {
      if (section != name.substr(0, dot)) {
        section = name.substr(0, dot);
        out += Cat("\n[", section, "]\n");
      }
      name.remove_prefix(dot + 1);
    }
    out += Cat("\n", Comment(key.doc), "# ", name, " = ", ValueText(Config(), key.field), "\n");
  }
  out += kRegistryHead;
  RegistryConfig example;
  example.host = "registry.k8s.io";
  example.mirrors = {"https://mirror.example:5000", "http://127.0.0.1:5000"};
  out += Annotated(RegistryKeys(), example);
  out += kRuntimeHead;
  RuntimeConfig runtime;
  runtime.name = "crun";
  runtime.path = "/usr/bin/crun";
  return out + Annotated(RuntimeKeys(), runtime);
}

}  // namespace crisp
