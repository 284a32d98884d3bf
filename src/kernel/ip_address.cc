#include "kernel/ip_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/text.h"

namespace crisp {

absl::StatusOr<IpAddress> IpAddress::Parse(std::string_view text) {
  IpAddress address;
  const std::string copy(text);
  if (copy.find('\0') == std::string::npos) {
    if (inet_pton(AF_INET, copy.c_str(), address.bytes_.data()) == 1) return address;
    address.v4_ = false;
    if (inet_pton(AF_INET6, copy.c_str(), address.bytes_.data()) == 1) return address;
  }
  return absl::InvalidArgumentError(Cat("\"", text.substr(0, 64), "\" is no IP address"));
}

IpAddress IpAddress::FromBytes(std::string_view bytes) {
  IpAddress address;
  address.v4_ = bytes.size() == 4;
  std::memcpy(address.bytes_.data(), bytes.data(), std::min<size_t>(bytes.size(), 16));
  return address;
}

int IpAddress::family() const { return v4_ ? AF_INET : AF_INET6; }

bool IpAddress::IsLoopback() const {
  if (v4_) return bytes_[0] == 127;
  return bytes_[15] == 1 &&
         std::all_of(bytes_.begin(), bytes_.begin() + 15, [](uint8_t byte) { return byte == 0; });
}

std::string IpAddress::ToString() const {
  char text[INET6_ADDRSTRLEN];
  return inet_ntop(family(), bytes_.data(), text, sizeof(text));
}

IpAddress IpAddress::Plus(uint64_t n) const {
  IpAddress sum = *this;
  uint64_t carry = n;
  for (int i = bits() / 8 - 1; i >= 0 && carry != 0; --i) {
    const uint64_t low = (carry & 0xff) + sum.bytes_[i];
    sum.bytes_[i] = static_cast<uint8_t>(low);
    carry = (carry >> 8) + (low >> 8);
  }
  return sum;
}

IpAddress IpAddress::Masked(int length) const {
  IpAddress masked = *this;
  for (int i = 0; i < 16; ++i) {
    const int kept = std::clamp(length - i * 8, 0, 8);
    masked.bytes_[i] &= static_cast<uint8_t>(0xff00 >> kept);
  }
  return masked;
}

absl::StatusOr<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = text.find('/');
  absl::StatusOr<IpAddress> address = IpAddress::Parse(text.substr(0, slash));
  int length = -1;
  if (address.ok() && slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), length);
    if (error != std::errc() || end != digits.data() + digits.size()) length = -1;
  }
  if (!address.ok() || length < 0 || length > address->bits()) {
    return absl::InvalidArgumentError(
        Cat("\"", text.substr(0, 64), "\" is no IP address with a prefix length"));
  }
  return IpPrefix{*address, length};
}

std::string IpPrefix::ToString() const { return Cat(address.ToString(), "/", length); }

bool IpPrefix::Contains(const IpAddress& other) const {
  return other.is_v4() == address.is_v4() && other.Masked(length) == address.Masked(length);
}

bool IpPrefix::Overlaps(const IpPrefix& other) const {
  const int shorter = std::min(length, other.length);
  return other.address.is_v4() == address.is_v4() &&
         other.address.Masked(shorter) == address.Masked(shorter);
}

uint64_t IpPrefix::OffsetOf(const IpAddress& other) const {
  const IpAddress start = address.Masked(length);
  uint64_t here = 0, there = 0;
  for (const char byte : start.bytes()) here = here << 8 | static_cast<uint8_t>(byte);
  for (const char byte : other.bytes()) there = there << 8 | static_cast<uint8_t>(byte);
  return there - here;
}

}  // namespace crisp
