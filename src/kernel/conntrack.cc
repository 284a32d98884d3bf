#include "kernel/conntrack.h"

#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace crisp {
namespace {

constexpr int kMostLookedAt = 1 << 18;
constexpr size_t kMostForgotten = 1 << 14;

struct FreeMessage {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
using Message = std::unique_ptr<nl_msg, FreeMessage>;

absl::StatusOr<Message> NewMessage(int type, int flags, int family, uint32_t sequence) {
  Message message(nlmsg_alloc_simple(NFNL_SUBSYS_CTNETLINK << 8 | type, flags));
  if (message == nullptr)
    return absl::ResourceExhaustedError("out of memory for a netlink message");
  nlmsg_hdr(message.get())->nlmsg_seq = sequence;
  nfgenmsg head = {};
  head.nfgen_family = static_cast<uint8_t>(family);
  head.version = NFNETLINK_V0;
  nlmsg_append(message.get(), &head, sizeof(head), NLMSG_ALIGNTO);
  return message;
}

absl::Status Send(int fd, nl_msg* message) {
  const nlmsghdr* header = nlmsg_hdr(message);
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = sendto(fd, header, header->nlmsg_len, 0,
                              reinterpret_cast<const sockaddr*>(&kernel), sizeof(kernel));
  return sent < 0 ? ErrnoStatus("asking for connections") : absl::OkStatus();
}

// Hands every message that answers `sequence` to see, until it returns false.
absl::Status Receive(int fd, uint32_t sequence, const std::function<bool(nlmsghdr*)>& see) {
  alignas(nlmsghdr) static thread_local char buffer[64 << 10];
  while (true) {
    const ssize_t received = recv(fd, buffer, sizeof(buffer), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return ErrnoStatus("reading connections");
    int left = static_cast<int>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); nlmsg_ok(header, left);
         header = nlmsg_next(header, &left)) {
      if (header->nlmsg_seq == sequence && !see(header)) return absl::OkStatus();
    }
  }
}

int ErrorIn(nlmsghdr* header) { return -static_cast<const nlmsgerr*>(nlmsg_data(header))->error; }

struct Tuple {
  IpAddress from, to;
  uint16_t from_port = 0, to_port = 0;
  uint8_t protocol = 0;
};

std::optional<IpAddress> AddressIn(nlattr* attribute) {
  if (attribute == nullptr || (nla_len(attribute) != 4 && nla_len(attribute) != 16)) {
    return std::nullopt;
  }
  return IpAddress::FromBytes(
      {static_cast<const char*>(nla_data(attribute)), static_cast<size_t>(nla_len(attribute))});
}

uint16_t PortIn(nlattr* attribute) {
  return attribute != nullptr && nla_len(attribute) >= 2 ? ntohs(nla_get_u16(attribute)) : 0;
}

std::optional<Tuple> TupleIn(nlattr* attribute) {
  nlattr *parts[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];
  if (attribute == nullptr || nla_parse_nested(parts, CTA_TUPLE_MAX, attribute, nullptr) != 0 ||
      parts[CTA_TUPLE_IP] == nullptr || parts[CTA_TUPLE_PROTO] == nullptr ||
      nla_parse_nested(ip, CTA_IP_MAX, parts[CTA_TUPLE_IP], nullptr) != 0 ||
      nla_parse_nested(proto, CTA_PROTO_MAX, parts[CTA_TUPLE_PROTO], nullptr) != 0 ||
      proto[CTA_PROTO_NUM] == nullptr) {
    return std::nullopt;
  }
  const auto from = AddressIn(ip[CTA_IP_V4_SRC] ? ip[CTA_IP_V4_SRC] : ip[CTA_IP_V6_SRC]);
  const auto to = AddressIn(ip[CTA_IP_V4_DST] ? ip[CTA_IP_V4_DST] : ip[CTA_IP_V6_DST]);
  if (!from || !to) return std::nullopt;
  return Tuple{*from, *to, PortIn(proto[CTA_PROTO_SRC_PORT]), PortIn(proto[CTA_PROTO_DST_PORT]),
               nla_get_u8(proto[CTA_PROTO_NUM])};
}

// The attributes that name an entry of the dump in a request to delete it; empty: not stale.
std::string KeyIfStale(nlmsghdr* header, const std::function<bool(const Conntrack::Flow&)>& stale) {
  nlattr* parts[CTA_MAX + 1];
  if (nlmsg_parse(header, sizeof(nfgenmsg), parts, CTA_MAX, nullptr) != 0) return "";
  const std::optional<Tuple> there = TupleIn(parts[CTA_TUPLE_ORIG]);
  const std::optional<Tuple> back = TupleIn(parts[CTA_TUPLE_REPLY]);
  if (!there || !back || there->protocol != IPPROTO_UDP) return "";
  if (!stale({there->to, there->to_port, back->from, back->from_port})) return "";
  std::string key;
  for (const int type : {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID}) {
    const nlattr* part = parts[type];
    if (part == nullptr) continue;
    key.append(reinterpret_cast<const char*>(part), part->nla_len);
    key.resize(NLA_ALIGN(key.size()));
  }
  return key;
}

}  // namespace

absl::StatusOr<int> Conntrack::ForgetUdp(int family,
                                         const std::function<bool(const Flow&)>& stale) {
  absl::MutexLock lock(&mutex_);
  if (!socket_.valid()) {
    socket_.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!socket_.valid()) return ErrnoStatus("opening a netfilter socket");
    const timeval limit = {2, 0};
    setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  }
  UniqueFd fd = std::move(socket_);  // put back once every answer has been read
  ASSIGN_OR_RETURN(const Message dump,
                   NewMessage(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, family, ++sequence_));
  RETURN_IF_ERROR(Send(fd.get(), dump.get()));
  std::vector<std::string> keys;
  int looked_at = 0;
  absl::Status failure;
  RETURN_IF_ERROR(Receive(fd.get(), sequence_, [&](nlmsghdr* header) {
    if (header->nlmsg_type == NLMSG_DONE) return false;
    if (header->nlmsg_type == NLMSG_ERROR) {
      failure = Errno(ErrorIn(header), "reading connections");
      return false;
    }
    if (std::string key = KeyIfStale(header, stale); !key.empty()) keys.push_back(std::move(key));
    if (++looked_at < kMostLookedAt && keys.size() < kMostForgotten) return true;
    failure = absl::ResourceExhaustedError("reading connections: there are too many");
    return false;
  }));
  int forgotten = 0;
  if (!failure.ok() && !absl::IsResourceExhausted(failure)) return failure;
  if (!failure.ok()) {
    // The rest of the dump is still to come on that socket.
    fd.reset(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (!fd.valid()) return ErrnoStatus("opening a netfilter socket");
  }
  for (const std::string& key : keys) {
    ASSIGN_OR_RETURN(
        const Message remove,
        NewMessage(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, family, ++sequence_));
    nlmsg_append(remove.get(), const_cast<char*>(key.data()), key.size(), NLMSG_ALIGNTO);
    RETURN_IF_ERROR(Send(fd.get(), remove.get()));
    RETURN_IF_ERROR(Receive(fd.get(), sequence_, [&](nlmsghdr* header) {
      const int error = header->nlmsg_type == NLMSG_ERROR ? ErrorIn(header) : 0;
      if (error == 0) ++forgotten;
      // It may have ended by itself meanwhile.
      if (error != 0 && error != ENOENT && failure.ok()) {
        failure = Errno(error, "forgetting a connection");
      }
      return false;
    }));
  }
  if (!failure.ok()) return failure;
  socket_ = std::move(fd);
  return forgotten;
}

}  // namespace crisp
