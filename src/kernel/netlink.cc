#include "kernel/netlink.h"

#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>

#include "base/status.h"
#include "base/text.h"

// linux/if.h and net/if.h do not go together; these two numbers are all that is needed here.
#ifndef IFF_UP
#define IFF_UP 1
#endif

namespace crisp {
namespace {

constexpr int kAcknowledged = NLM_F_REQUEST | NLM_F_ACK;
constexpr int kDumpTries = 5;

absl::Status Failure(int error, std::string_view what, std::string_view kernel_words) {
  if (error == ENODEV) {
    return absl::NotFoundError(
        Cat(what, ": ", kernel_words.empty() ? "no such link" : kernel_words));
  }
  if (error == EXFULL) {
    return absl::ResourceExhaustedError(
        Cat(what, ": the bridge has no free port (1023 is the kernel's limit)"));
  }
  absl::Status status = Errno(error, what);
  if (error == EADDRNOTAVAIL) status = WithCode(absl::StatusCode::kNotFound, status);
  if (kernel_words.empty()) return status;
  return WithCode(status.code(),
                  absl::UnknownError(Cat(FromAbsl(status.message()), " (", kernel_words, ")")));
}

// The kernel's own sentence in an error message (extended acknowledgement), or "".
std::string_view KernelWords(nlmsghdr* header) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return "";
  const auto* error = static_cast<const nlmsgerr*>(nlmsg_data(header));
  size_t skip = sizeof(nlmsgerr);
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) skip += error->msg.nlmsg_len - sizeof(nlmsghdr);
  nlattr* words = nlmsg_find_attr(header, static_cast<int>(skip), NLMSGERR_ATTR_MSG);
  return words == nullptr ? "" : nla_get_string(words);
}

Link ReadLink(nlmsghdr* header) {
  Link link;
  const auto* info = static_cast<const ifinfomsg*>(nlmsg_data(header));
  link.index = info->ifi_index;
  link.up = (info->ifi_flags & IFF_UP) != 0;
  nlattr* attributes[IFLA_MAX + 1];
  if (nlmsg_parse(header, sizeof(ifinfomsg), attributes, IFLA_MAX, nullptr) < 0) return link;
  if (attributes[IFLA_IFNAME]) link.name = nla_get_string(attributes[IFLA_IFNAME]);
  if (attributes[IFLA_IFALIAS]) link.alias = nla_get_string(attributes[IFLA_IFALIAS]);
  if (attributes[IFLA_MTU]) link.mtu = static_cast<int>(nla_get_u32(attributes[IFLA_MTU]));
  if (attributes[IFLA_MASTER]) link.master = static_cast<int>(nla_get_u32(attributes[IFLA_MASTER]));
  if (attributes[IFLA_LINK]) link.peer = static_cast<int>(nla_get_u32(attributes[IFLA_LINK]));
  if (attributes[IFLA_ADDRESS] && nla_len(attributes[IFLA_ADDRESS]) == 6) {
    std::memcpy(link.mac.data(), nla_data(attributes[IFLA_ADDRESS]), 6);
  }
  if (attributes[IFLA_LINKINFO]) {
    nlattr* details[IFLA_INFO_MAX + 1];
    if (nla_parse_nested(details, IFLA_INFO_MAX, attributes[IFLA_LINKINFO], nullptr) == 0 &&
        details[IFLA_INFO_KIND]) {
      link.kind = nla_get_string(details[IFLA_INFO_KIND]);
    }
  }
  return link;
}

IpAddress ReadAddress(nlattr* attribute) {
  return IpAddress::FromBytes(
      {static_cast<const char*>(nla_data(attribute)), static_cast<size_t>(nla_len(attribute))});
}

void PutAddress(nl_msg* message, int type, const IpAddress& address) {
  nla_put(message, type, static_cast<int>(address.bytes().size()), address.bytes().data());
}

void PutInfo(nl_msg* message, int index, bool up) {
  ifinfomsg info = {};
  info.ifi_index = index;
  if (up) info.ifi_flags = info.ifi_change = IFF_UP;
  nlmsg_append(message, &info, sizeof(info), NLMSG_ALIGNTO);
}

// Attributes of a bridge port, for put to write.
void PutPort(nl_msg* message, const std::function<void()>& put) {
  nlattr* link_info = nla_nest_start(message, IFLA_LINKINFO);
  nla_put_string(message, IFLA_INFO_SLAVE_KIND, "bridge");
  nlattr* data = nla_nest_start(message, IFLA_INFO_SLAVE_DATA);
  put();
  nla_nest_end(message, data);
  nla_nest_end(message, link_info);
}

}  // namespace

void Netlink::FreeMessage::operator()(nl_msg* message) const { nlmsg_free(message); }

absl::StatusOr<Netlink> Netlink::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid()) return ErrnoStatus("opening an rtnetlink socket");
  sockaddr_nl address = {};
  address.nl_family = AF_NETLINK;
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus("binding an rtnetlink socket");
  }
  // Without these two (kernels before 4.12) errors merely come without the kernel's words.
  const int one = 1;
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one));
  setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
  return Netlink(std::move(fd));
}

absl::StatusOr<Netlink::Message> Netlink::NewMessage(int type, int flags) {
  Message message(nlmsg_alloc_simple(type, flags));
  if (message == nullptr)
    return absl::ResourceExhaustedError("out of memory for a netlink message");
  return message;
}

absl::Status Netlink::Send(std::string_view data) {
  sockaddr_nl kernel = {};
  kernel.nl_family = AF_NETLINK;
  const ssize_t sent = sendto(socket_.get(), data.data(), data.size(), 0,
                              reinterpret_cast<sockaddr*>(&kernel), sizeof(kernel));
  return sent < 0 ? ErrnoStatus("sending to rtnetlink") : absl::OkStatus();
}

absl::Status Netlink::Run(Message message, std::string_view what) {
  std::vector<Message> one;
  one.push_back(std::move(message));
  return Run(std::move(one), what);
}

absl::Status Netlink::Run(std::vector<Message> messages, std::string_view what) {
  std::string datagram;
  const uint32_t first = sequence_ + 1;
  for (const Message& message : messages) {
    nlmsghdr* header = nlmsg_hdr(message.get());
    header->nlmsg_seq = ++sequence_;
    datagram.append(reinterpret_cast<const char*>(header), header->nlmsg_len);
    datagram.resize(NLMSG_ALIGN(datagram.size()));
  }
  RETURN_IF_ERROR(Send(datagram));
  absl::Status result;
  alignas(nlmsghdr) char buffer[16 << 10];
  for (size_t answered = 0; answered < messages.size();) {
    const ssize_t received = recv(socket_.get(), buffer, sizeof(buffer), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return ErrnoStatus(what, ": reading the kernel's answer");
    int left = static_cast<int>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer); nlmsg_ok(header, left);
         header = nlmsg_next(header, &left)) {
      if (header->nlmsg_type != NLMSG_ERROR || header->nlmsg_seq - first >= messages.size())
        continue;
      ++answered;
      const int error = -static_cast<const nlmsgerr*>(nlmsg_data(header))->error;
      if (error != 0 && result.ok()) result = Failure(error, what, KernelWords(header));
    }
  }
  return result;
}

absl::Status Netlink::Ask(Message message, std::string_view what,
                          const std::function<void(nlmsghdr*)>& see) {
  nlmsghdr* request = nlmsg_hdr(message.get());
  request->nlmsg_seq = ++sequence_;
  RETURN_IF_ERROR(Send({reinterpret_cast<const char*>(request), request->nlmsg_len}));
  std::vector<char> buffer(64 << 10);
  for (bool interrupted = false;;) {
    const ssize_t received = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return ErrnoStatus(what, ": reading the kernel's answer");
    int left = static_cast<int>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(header, left);
         header = nlmsg_next(header, &left)) {
      if (header->nlmsg_seq != sequence_) continue;
      interrupted |= (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (header->nlmsg_type == NLMSG_DONE) {
        return interrupted ? absl::AbortedError(Cat(what, ": changed while it was read"))
                           : absl::OkStatus();
      }
      if (header->nlmsg_type == NLMSG_ERROR) {
        const int error = -static_cast<const nlmsgerr*>(nlmsg_data(header))->error;
        return error == 0 ? absl::OkStatus() : Failure(error, what, KernelWords(header));
      }
      see(header);
    }
  }
}

absl::StatusOr<std::optional<Link>> Netlink::FindLink(const std::string& name) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_GETLINK, kAcknowledged));
  PutInfo(message.get(), 0, false);
  nla_put_string(message.get(), IFLA_IFNAME, name.c_str());
  nla_put_u32(message.get(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
  std::optional<Link> link;
  const absl::Status status = Ask(std::move(message), Cat("looking up link ", name),
                                  [&](nlmsghdr* header) { link = ReadLink(header); });
  if (absl::IsNotFound(status)) return std::nullopt;
  RETURN_IF_ERROR(status);
  return link;
}

absl::StatusOr<std::vector<Link>> Netlink::Links() {
  for (int tries = 1;; ++tries) {
    std::vector<Link> links;
    ASSIGN_OR_RETURN(Message message, NewMessage(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP));
    PutInfo(message.get(), 0, false);
    nla_put_u32(message.get(), IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
    const absl::Status status = Ask(std::move(message), "listing links", [&](nlmsghdr* header) {
      if (header->nlmsg_type == RTM_NEWLINK) links.push_back(ReadLink(header));
    });
    if (status.ok()) return links;
    if (!absl::IsAborted(status) || tries == kDumpTries) return status;
  }
}

absl::StatusOr<std::vector<LinkAddress>> Netlink::Addresses(int link) {
  for (int tries = 1;; ++tries) {
    std::vector<LinkAddress> addresses;
    ASSIGN_OR_RETURN(Message message, NewMessage(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP));
    ifaddrmsg all = {};
    nlmsg_append(message.get(), &all, sizeof(all), NLMSG_ALIGNTO);
    const absl::Status status = Ask(std::move(message), "listing addresses", [&](nlmsghdr* header) {
      if (header->nlmsg_type != RTM_NEWADDR) return;
      const auto* info = static_cast<const ifaddrmsg*>(nlmsg_data(header));
      nlattr* attributes[IFA_MAX + 1];
      if (nlmsg_parse(header, sizeof(ifaddrmsg), attributes, IFA_MAX, nullptr) < 0) return;
      nlattr* local = attributes[IFA_LOCAL] ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
      const int index = static_cast<int>(info->ifa_index);
      if (local == nullptr || (link != 0 && index != link)) return;
      addresses.push_back({index, {ReadAddress(local), info->ifa_prefixlen}});
    });
    if (status.ok()) return addresses;
    if (!absl::IsAborted(status) || tries == kDumpTries) return status;
  }
}

absl::StatusOr<std::vector<Route>> Netlink::Routes() {
  for (int tries = 1;; ++tries) {
    std::vector<Route> routes;
    ASSIGN_OR_RETURN(Message message, NewMessage(RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP));
    rtmsg all = {};
    nlmsg_append(message.get(), &all, sizeof(all), NLMSG_ALIGNTO);
    const absl::Status status = Ask(std::move(message), "listing routes", [&](nlmsghdr* header) {
      if (header->nlmsg_type != RTM_NEWROUTE) return;
      const auto* info = static_cast<const rtmsg*>(nlmsg_data(header));
      nlattr* attributes[RTA_MAX + 1];
      if (info->rtm_table != RT_TABLE_MAIN || info->rtm_type != RTN_UNICAST ||
          nlmsg_parse(header, sizeof(rtmsg), attributes, RTA_MAX, nullptr) < 0) {
        return;
      }
      Route route;
      route.is_v4 = info->rtm_family == AF_INET;
      if (attributes[RTA_DST])
        route.destination = {ReadAddress(attributes[RTA_DST]), info->rtm_dst_len};
      if (attributes[RTA_OIF]) route.link = static_cast<int>(nla_get_u32(attributes[RTA_OIF]));
      if (attributes[RTA_PRIORITY]) route.metric = nla_get_u32(attributes[RTA_PRIORITY]);
      routes.push_back(route);
    });
    if (status.ok()) return routes;
    if (!absl::IsAborted(status) || tries == kDumpTries) return status;
  }
}

absl::Status Netlink::AddBridge(const std::string& name, const MacAddress& mac, int mtu) {
  ASSIGN_OR_RETURN(Message message,
                   NewMessage(RTM_NEWLINK, kAcknowledged | NLM_F_CREATE | NLM_F_EXCL));
  nl_msg* put = message.get();
  PutInfo(put, 0, true);
  nla_put_string(put, IFLA_IFNAME, name.c_str());
  nla_put(put, IFLA_ADDRESS, 6, mac.data());
  nla_put_u32(put, IFLA_MTU, static_cast<uint32_t>(mtu));
  nlattr* info = nla_nest_start(put, IFLA_LINKINFO);
  nla_put_string(put, IFLA_INFO_KIND, "bridge");
  nlattr* data = nla_nest_start(put, IFLA_INFO_DATA);
  nla_put_u8(put, IFLA_BR_MCAST_SNOOPING, 0);
  nla_nest_end(put, data);
  nla_nest_end(put, info);
  return Run(std::move(message), Cat("creating bridge ", name));
}

absl::Status Netlink::SetAlias(int link, const std::string& alias) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_SETLINK, kAcknowledged));
  PutInfo(message.get(), link, false);
  nla_put(message.get(), IFLA_IFALIAS, static_cast<int>(alias.size()), alias.data());
  return Run(std::move(message), Cat("naming the owner of link ", link));
}

absl::Status Netlink::SetUp(int link) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_SETLINK, kAcknowledged));
  PutInfo(message.get(), link, true);
  return Run(std::move(message), Cat("bringing link ", link, " up"));
}

absl::Status Netlink::SetMaster(int link, int bridge) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_SETLINK, kAcknowledged));
  PutInfo(message.get(), link, false);
  nla_put_u32(message.get(), IFLA_MASTER, static_cast<uint32_t>(bridge));
  return Run(std::move(message), Cat("making link ", link, " a port of bridge ", bridge));
}

absl::Status Netlink::AddVeth(const VethRequest& request) {
  std::vector<Message> messages;
  ASSIGN_OR_RETURN(Message create,
                   NewMessage(RTM_NEWLINK, kAcknowledged | NLM_F_CREATE | NLM_F_EXCL));
  nl_msg* put = create.get();
  PutInfo(put, 0, true);
  nla_put_string(put, IFLA_IFNAME, request.host_name.c_str());
  nla_put_u32(put, IFLA_MTU, static_cast<uint32_t>(request.mtu));
  nla_put_u32(put, IFLA_MASTER, static_cast<uint32_t>(request.bridge));
  nlattr* info = nla_nest_start(put, IFLA_LINKINFO);
  nla_put_string(put, IFLA_INFO_KIND, "veth");
  nlattr* data = nla_nest_start(put, IFLA_INFO_DATA);
  nlattr* peer = nla_nest_start(put, VETH_INFO_PEER);
  PutInfo(put, 0, false);  // the kernel cannot bring this end up before both are tied together
  nla_put_string(put, IFLA_IFNAME, request.pod_name.c_str());
  nla_put_u32(put, IFLA_MTU, static_cast<uint32_t>(request.mtu));
  nla_put(put, IFLA_ADDRESS, 6, request.pod_mac.data());
  nla_put_u32(put, IFLA_NET_NS_FD, static_cast<uint32_t>(request.pod_netns));
  nla_nest_end(put, peer);
  nla_nest_end(put, data);
  nla_nest_end(put, info);
  messages.push_back(std::move(create));

  ASSIGN_OR_RETURN(Message hairpin, NewMessage(RTM_NEWLINK, kAcknowledged));
  PutInfo(hairpin.get(), 0, false);
  nla_put_string(hairpin.get(), IFLA_IFNAME, request.host_name.c_str());
  PutPort(hairpin.get(), [&] { nla_put_u8(hairpin.get(), IFLA_BRPORT_MODE, 1); });
  messages.push_back(std::move(hairpin));
  return Run(std::move(messages), Cat("creating veth ", request.host_name));
}

absl::Status Netlink::DisablePort(const std::string& name) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_NEWLINK, kAcknowledged));
  PutInfo(message.get(), 0, false);
  nla_put_string(message.get(), IFLA_IFNAME, name.c_str());
  // A late carrier event (they come up to a second after the link) enables the port again, so it
  // also must not learn or be flooded to: else frames for the next owner of its address reach it.
  PutPort(message.get(), [&] {
    for (const int flag : {IFLA_BRPORT_LEARNING, IFLA_BRPORT_UNICAST_FLOOD, IFLA_BRPORT_MCAST_FLOOD,
                           IFLA_BRPORT_BCAST_FLOOD}) {
      nla_put_u8(message.get(), flag, 0);
    }
    nla_put_u8(message.get(), IFLA_BRPORT_STATE, BR_STATE_DISABLED);
    nla_put_flag(message.get(), IFLA_BRPORT_FLUSH);
  });
  return Run(std::move(message), Cat("stopping bridge port ", name));
}

absl::Status Netlink::DeleteLink(int link) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_DELLINK, kAcknowledged));
  PutInfo(message.get(), link, false);
  return Run(std::move(message), Cat("deleting link ", link));
}

absl::Status Netlink::Configure(int link, const std::vector<IpPrefix>& addresses,
                                const std::vector<IpAddress>& gateways) {
  std::vector<Message> messages;
  ASSIGN_OR_RETURN(Message up, NewMessage(RTM_SETLINK, kAcknowledged));
  PutInfo(up.get(), link, true);
  messages.push_back(std::move(up));
  for (const IpPrefix& prefix : addresses) {
    ASSIGN_OR_RETURN(Message add,
                     NewMessage(RTM_NEWADDR, kAcknowledged | NLM_F_CREATE | NLM_F_REPLACE));
    ifaddrmsg info = {};
    info.ifa_family = static_cast<uint8_t>(prefix.address.family());
    info.ifa_prefixlen = static_cast<uint8_t>(prefix.length);
    info.ifa_index = static_cast<uint32_t>(link);
    nlmsg_append(add.get(), &info, sizeof(info), NLMSG_ALIGNTO);
    PutAddress(add.get(), IFA_LOCAL, prefix.address);
    PutAddress(add.get(), IFA_ADDRESS, prefix.address);
    if (!prefix.address.is_v4()) nla_put_u32(add.get(), IFA_FLAGS, IFA_F_NODAD);
    messages.push_back(std::move(add));
  }
  for (const IpAddress& gateway : gateways) {
    ASSIGN_OR_RETURN(Message add,
                     NewMessage(RTM_NEWROUTE, kAcknowledged | NLM_F_CREATE | NLM_F_REPLACE));
    rtmsg info = {};
    info.rtm_family = static_cast<uint8_t>(gateway.family());
    info.rtm_table = RT_TABLE_MAIN;
    info.rtm_protocol = RTPROT_BOOT;
    info.rtm_scope = RT_SCOPE_UNIVERSE;
    info.rtm_type = RTN_UNICAST;
    nlmsg_append(add.get(), &info, sizeof(info), NLMSG_ALIGNTO);
    PutAddress(add.get(), RTA_GATEWAY, gateway);
    nla_put_u32(add.get(), RTA_OIF, static_cast<uint32_t>(link));
    messages.push_back(std::move(add));
  }
  return Run(std::move(messages), Cat("configuring link ", link));
}

absl::Status Netlink::RemoveAddress(int link, const IpPrefix& address) {
  ASSIGN_OR_RETURN(Message message, NewMessage(RTM_DELADDR, kAcknowledged));
  ifaddrmsg info = {};
  info.ifa_family = static_cast<uint8_t>(address.address.family());
  info.ifa_prefixlen = static_cast<uint8_t>(address.length);
  info.ifa_index = static_cast<uint32_t>(link);
  nlmsg_append(message.get(), &info, sizeof(info), NLMSG_ALIGNTO);
  PutAddress(message.get(), IFA_LOCAL, address.address);
  return Run(std::move(message), Cat("taking address ", address.ToString(), " off link ", link));
}

}  // namespace crisp
