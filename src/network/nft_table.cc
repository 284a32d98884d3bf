#include "network/nft_table.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "base/status.h"
#include "base/text.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

constexpr size_t kLongestNftError = 300;

std::string MapName(const HostPort& port) {
  return Cat(port.host_ip.is_v4() ? "v4_" : "v6_", port.host_ip.IsAny() ? "any" : "one");
}

std::string Key(const HostPort& port) {
  const std::string key = Cat(port.protocol, " . ", port.host_port);
  return port.host_ip.IsAny() ? key : Cat(port.host_ip.ToString(), " . ", key);
}

std::string Element(const HostPort& port) {
  return Cat(Key(port), " : ", port.target.ToString(), " . ", port.container_port);
}

// nft quotes nothing in names: keep to what its scanner takes for a word.
std::string TableName(const std::string& bridge) {
  std::string name = Cat("crisp_", bridge);
  for (char& c : name) {
    if (!isalnum(static_cast<unsigned char>(c)) && c != '_') c = '_';
  }
  return name;
}

// The rules of postrouting for one subnet.
std::string Postrouting(const IpPrefix& subnet, const NftTableOptions& options) {
  const std::string ip = subnet.address.is_v4() ? "ip" : "ip6";
  const std::string text = subnet.Subnet().ToString();
  const std::string multicast = subnet.address.is_v4() ? "224.0.0.0/4" : "ff00::/8";
  std::string rules;
  if (options.masquerade) {
    rules += Cat("    ", ip, " saddr ", text, " ", ip, " daddr != { ", text, ", ", multicast,
                 " } oifname != \"", options.bridge, "\" masquerade fully-random\n");
  }
  // A pod that reaches a pod, or itself, through a host port: the answer must come back through the
  // host.
  rules +=
      Cat("    ", ip, " saddr ", text, " ", ip, " daddr ", text, " ct status dnat masquerade\n");
  if (subnet.address.is_v4()) {
    rules += Cat("    ip saddr 127.0.0.0/8 oifname \"", options.bridge, "\" masquerade\n");
  }
  return rules;
}

}  // namespace

NftTable::NftTable(NftTableOptions options)
    : options_(std::move(options)), name_(TableName(options_.bridge)) {}

std::string NftTable::Text(const std::vector<HostPort>& ports) const {
  const auto map = [&](const std::string& name, const std::string& type) {
    std::string elements;
    for (const HostPort& port : ports) {
      if (MapName(port) == name) elements += Cat(elements.empty() ? "" : ", ", Element(port));
    }
    return Cat("  map ", name, " {\n    type ", type, "\n",
               elements.empty() ? "" : Cat("    elements = { ", elements, " }\n"), "  }\n");
  };
  std::string postrouting;
  for (const IpPrefix& subnet : options_.subnets) postrouting += Postrouting(subnet, options_);
  return Cat(
      "table inet ", name_, " {\n",
      map("v4_one", "ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service"),
      map("v4_any", "inet_proto . inet_service : ipv4_addr . inet_service"),
      map("v6_one", "ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service"),
      map("v6_any", "inet_proto . inet_service : ipv6_addr . inet_service"),
      "  chain host_ports {\n"
      "    dnat ip to ip daddr . meta l4proto . th dport map @v4_one\n"
      "    dnat ip to meta l4proto . th dport map @v4_any\n"
      "    dnat ip6 to ip6 daddr . meta l4proto . th dport map @v6_one\n"
      "    dnat ip6 to meta l4proto . th dport map @v6_any\n"
      "  }\n"
      "  chain prerouting {\n    type nat hook prerouting priority dstnat; policy accept;\n"
      "    fib daddr type local jump host_ports\n  }\n"
      "  chain output {\n    type nat hook output priority -100; policy accept;\n"
      "    fib daddr type local jump host_ports\n  }\n"
      "  chain postrouting {\n    type nat hook postrouting priority srcnat; policy accept;\n",
      postrouting,
      "  }\n"
      "  chain loopback_guard {\n    type filter hook prerouting priority raw; policy accept;\n"
      "    iifname \"",
      options_.bridge,
      "\" ip daddr 127.0.0.0/8 drop\n  }\n"
      "}\n");
}

std::string NftTable::ElementCommand(std::string_view verb, const HostPort& port) const {
  return Cat(verb, " element inet ", name_, " ", MapName(port), " { ",
             verb == "delete" ? Key(port) : Element(port), " }\n");
}

void NftTable::FreeContext::operator()(nft_ctx* context) const { nft_ctx_free(context); }

absl::Status NftTable::Run(const std::string& commands) {
  if (context_ == nullptr) {
    context_.reset(nft_ctx_new(NFT_CTX_DEFAULT));
    if (context_ == nullptr) return absl::InternalError("starting libnftables failed");
    nft_ctx_buffer_error(context_.get());
    nft_ctx_buffer_output(context_.get());
  }
  errno = 0;
  if (nft_run_cmd_from_buffer(context_.get(), commands.c_str()) == 0) return absl::OkStatus();
  const int error = errno;
  const std::string words(
      Trim(nft_ctx_get_error_buffer(context_.get())).substr(0, kLongestNftError));
  context_.reset();
  const std::string text = Cat("nftables table ", name_, ": ", words);
  if (words.find("No such file") != std::string::npos) return absl::NotFoundError(text);
  if (words.find("File exists") != std::string::npos) return absl::AlreadyExistsError(text);
  return WithCode(error == 0 ? absl::StatusCode::kInternal : Errno(error, "").code(),
                  absl::UnknownError(text));
}

absl::Status NftTable::Install(const std::vector<HostPort>& ports) {
  absl::MutexLock lock(&mutex_);
  return Run(Cat("table inet ", name_, "\ndelete table inet ", name_, "\n", Text(ports)));
}

absl::Status NftTable::Destroy() {
  absl::MutexLock lock(&mutex_);
  return Run(Cat("table inet ", name_, "\ndelete table inet ", name_, "\n"));
}

bool NftTable::HostDropsForwarded() {
  absl::MutexLock lock(&mutex_);
  if (!Run("list chain ip filter FORWARD").ok()) return false;
  const std::string_view text = nft_ctx_get_output_buffer(context_.get());
  return text.find("policy drop") != std::string_view::npos &&
         text.find(options_.bridge) == std::string_view::npos;
}

absl::Status NftTable::Add(const std::vector<HostPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  std::string add;
  for (const HostPort& port : ports) {
    add += ElementCommand("add", port);
  }
  const absl::Status status = Run(add);
  if (!absl::IsAlreadyExists(status)) return status;
  // The map holds another target for one of them, from before a crash: the table of pods is right,
  // the map is not.
  for (const HostPort& port : ports) Run(ElementCommand("delete", port)).IgnoreError();
  return Run(add);
}

absl::Status NftTable::Remove(const std::vector<HostPort>& ports) {
  if (ports.empty()) return absl::OkStatus();
  absl::MutexLock lock(&mutex_);
  std::string all;
  for (const HostPort& port : ports) all += ElementCommand("delete", port);
  if (const absl::Status status = Run(all); !absl::IsNotFound(status)) return status;
  // One of them has gone already, and a transaction is all or nothing: take the others one by one.
  for (const HostPort& port : ports) {
    const absl::Status status = Run(ElementCommand("delete", port));
    if (!status.ok() && !absl::IsNotFound(status)) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> NftTable::Present() {
  absl::MutexLock lock(&mutex_);
  if (!question_.valid()) {
    question_.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!question_.valid()) return ErrnoStatus("opening a netfilter socket");
  }
  UniqueFd fd = std::move(question_);  // put back after a whole answer
  struct {
    nlmsghdr header;
    nfgenmsg family;
    nlattr attribute;
    char name[64];
  } request = {};
  const size_t length = std::min(name_.size(), sizeof(request.name) - 1);
  std::memcpy(request.name, name_.data(), length);
  request.attribute = {static_cast<uint16_t>(NLA_HDRLEN + length + 1), NFTA_TABLE_NAME};
  request.family.nfgen_family = NFPROTO_INET;
  request.header.nlmsg_len =
      NLMSG_LENGTH(sizeof(nfgenmsg)) + NLMSG_ALIGN(static_cast<uint32_t>(NLA_HDRLEN + length + 1));
  request.header.nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  if (send(fd.get(), &request, request.header.nlmsg_len, 0) < 0)
    return ErrnoStatus("asking for table ", name_);
  alignas(nlmsghdr) char buffer[4096];
  const ssize_t received = recv(fd.get(), buffer, sizeof(buffer), 0);
  if (received < static_cast<ssize_t>(sizeof(nlmsghdr)))
    return ErrnoStatus("asking for table ", name_);
  question_ = std::move(fd);
  const auto* header = reinterpret_cast<const nlmsghdr*>(buffer);
  if (header->nlmsg_type != NLMSG_ERROR) return true;
  const int error = -static_cast<const nlmsgerr*>(NLMSG_DATA(header))->error;
  if (error == ENOENT) return false;
  return Errno(error, Cat("asking for nftables table ", name_));
}

}  // namespace crisp
