// IP addresses and subnets as values: parsing, printing, arithmetic. Any thread.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace crisp {

class IpAddress {
 public:
  IpAddress() = default;  // 0.0.0.0
  // Dotted IPv4 or IPv6 text, without prefix length, zone or brackets.
  static absl::StatusOr<IpAddress> Parse(std::string_view text);
  // 4 or 16 bytes in network order.
  static IpAddress FromBytes(std::string_view bytes);

  bool is_v4() const { return v4_; }
  int family() const;  // AF_INET or AF_INET6
  int bits() const { return v4_ ? 32 : 128; }
  std::string_view bytes() const {
    return {reinterpret_cast<const char*>(bytes_.data()), v4_ ? size_t{4} : size_t{16}};
  }
  bool IsAny() const { return bytes_ == std::array<uint8_t, 16>{}; }
  bool IsLoopback() const;
  std::string ToString() const;

  // This address plus n, within its family; wraps around.
  IpAddress Plus(uint64_t n) const;
  // With all bits after the first `length` cleared.
  IpAddress Masked(int length) const;

  auto operator<=>(const IpAddress&) const = default;

 private:
  bool v4_ = true;
  std::array<uint8_t, 16> bytes_ = {};
};

// An address with a prefix length. As a subnet its host bits are clear, as an interface's address
// they are not.
struct IpPrefix {
  IpAddress address;
  int length = 0;

  // "10.0.0.1/16"; the length is required.
  static absl::StatusOr<IpPrefix> Parse(std::string_view text);
  std::string ToString() const;
  IpPrefix Subnet() const { return {address.Masked(length), length}; }
  bool Contains(const IpAddress& other) const;
  bool Overlaps(const IpPrefix& other) const;
  // How far address lies from the subnet's start; meaningless above 2^63.
  uint64_t OffsetOf(const IpAddress& address) const;

  auto operator<=>(const IpPrefix&) const = default;
};

}  // namespace crisp
