#include "registry/reference.h"

#include <algorithm>

#include "base/id.h"
#include "base/text.h"

namespace crisp {
namespace {

constexpr size_t kMaxText = 1024;
constexpr size_t kMaxName = 255;
constexpr size_t kMaxTag = 128;
constexpr std::string_view kDefaultHost = "docker.io";

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsUpper(char c) { return c >= 'A' && c <= 'Z'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlphanumeric(char c) { return IsLowerOrDigit(c) || IsUpper(c); }

absl::Status BadReference(std::string_view text, std::string_view why) {
  std::string shown;
  for (const char c : text.substr(0, 200)) shown += c >= ' ' && c < 127 ? c : '?';
  return absl::InvalidArgumentError(Cat("image reference \"", shown, "\": ", why,
                                        " (expected [host[:port]/]name[:tag][@sha256:...])"));
}

// [a-z0-9]+ joined by one '.', one or two '_', or any number of '-'.
bool IsPathPart(std::string_view part) {
  if (part.empty() || !IsLowerOrDigit(part.front()) || !IsLowerOrDigit(part.back())) return false;
  for (size_t i = 0; i < part.size();) {
    if (IsLowerOrDigit(part[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < part.size() && !IsLowerOrDigit(part[end])) ++end;
    const std::string_view joint = part.substr(i, end - i);
    const bool dashes = std::all_of(joint.begin(), joint.end(), [](char c) { return c == '-'; });
    if (!dashes && joint != "." && joint != "_" && joint != "__") return false;
    i = end;
  }
  return true;
}

bool IsTag(std::string_view tag) {
  if (tag.empty() || tag.size() > kMaxTag) return false;
  if (!IsAlphanumeric(tag.front()) && tag.front() != '_') return false;
  return std::all_of(tag.begin(), tag.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '_' || c == '.' || c == '-'; });
}

bool IsPort(std::string_view port) {
  return !port.empty() && port.size() <= 5 && std::all_of(port.begin(), port.end(), IsDigit);
}

bool IsHost(std::string_view host) {
  if (host.empty() || host.size() > kMaxName) return false;
  std::string_view name = host;
  if (host.front() == '[') {
    const size_t end = host.find(']');
    if (end == std::string_view::npos || end < 3) return false;
    const std::string_view inside = host.substr(1, end - 1);
    const auto in_address = [](char c) {
      return std::isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
    };
    if (!std::all_of(inside.begin(), inside.end(), in_address)) return false;
    name = host.substr(end + 1);
    return name.empty() || (name.front() == ':' && IsPort(name.substr(1)));
  }
  const size_t colon = host.find(':');
  if (colon != std::string_view::npos) {
    if (!IsPort(host.substr(colon + 1))) return false;
    name = host.substr(0, colon);
  }
  for (const std::string_view label : Split(name, '.')) {
    if (label.empty() || !IsAlphanumeric(label.front()) || !IsAlphanumeric(label.back()))
      return false;
    if (!std::all_of(label.begin(), label.end(),
                     [](char c) { return IsAlphanumeric(c) || c == '-'; }))
      return false;
  }
  return true;
}

// A first component is a host if it could be no path part, or is "localhost".
bool LooksLikeHost(std::string_view part) {
  return part.find_first_of(".:") != std::string_view::npos || part == "localhost" ||
         std::any_of(part.begin(), part.end(), IsUpper);
}

}  // namespace

bool IsDigest(std::string_view text) {
  constexpr std::string_view kPrefix = "sha256:";
  return text.size() == kPrefix.size() + 64 && text.substr(0, kPrefix.size()) == kPrefix &&
         IsHex(text.substr(kPrefix.size()));
}

absl::StatusOr<Reference> Reference::Parse(std::string_view text) {
  const std::string_view whole = text;
  if (text.empty()) return BadReference(whole, "it is empty");
  if (text.size() > kMaxText) return BadReference(whole, "it is too long");
  Reference reference;
  if (const size_t at = text.find('@'); at != std::string_view::npos) {
    reference.digest = text.substr(at + 1);
    if (!IsDigest(reference.digest))
      return BadReference(whole, "the digest is not sha256: and 64 hex digits");
    text = text.substr(0, at);
  }
  const size_t slash = text.find('/');
  if (slash != std::string_view::npos && LooksLikeHost(text.substr(0, slash))) {
    reference.host = text.substr(0, slash);
    if (!IsHost(reference.host)) return BadReference(whole, "the host is malformed");
    text = text.substr(slash + 1);
  } else {
    reference.host = kDefaultHost;
  }
  if (const size_t colon = text.find(':'); colon != std::string_view::npos) {
    reference.tag = text.substr(colon + 1);
    if (!IsTag(reference.tag)) return BadReference(whole, "the tag is malformed");
    text = text.substr(0, colon);
  }
  if (text.size() == 64 && IsHex(text) && slash == std::string_view::npos) {
    return BadReference(whole, "64 hex digits are an image id, not a name");
  }
  for (const std::string_view part : Split(text, '/')) {
    if (!IsPathPart(part)) {
      return BadReference(whole, std::any_of(part.begin(), part.end(), IsUpper)
                                     ? "the name must be lower case"
                                     : "the name is malformed");
    }
  }
  if (reference.host == "index.docker.io") reference.host = kDefaultHost;
  reference.repository = text;
  if (reference.host == kDefaultHost && text.find('/') == std::string_view::npos) {
    reference.repository = Cat("library/", text);
  }
  if (reference.host.size() + reference.repository.size() > kMaxName)
    return BadReference(whole, "the name is too long");
  if (reference.tag.empty() && reference.digest.empty()) reference.tag = "latest";
  return reference;
}

std::string Reference::Name() const { return Cat(host, "/", repository); }

std::string Reference::NameWithTag() const {
  return tag.empty() ? std::string() : Cat(Name(), ":", tag);
}

std::string Reference::Text() const { return digest.empty() ? NameWithTag() : AtDigest(digest); }

std::string Reference::Asked() const { return digest.empty() ? tag : digest; }

std::string Reference::AtDigest(std::string_view other) const { return Cat(Name(), "@", other); }

}  // namespace crisp
