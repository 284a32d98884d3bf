#include "cli/run_arguments.h"

#include <charconv>
#include <cstdlib>

#include "base/id.h"
#include "base/text.h"

namespace crisp {
namespace {

namespace cri = ::runtime::v1;

bool ParseNumber(std::string_view text, int64_t max, int64_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && out >= 0 && out <= max;
}

}  // namespace

absl::Status WrongArgument(std::string_view what, std::string_view text, std::string_view form) {
  return absl::InvalidArgumentError(Cat(what, " \"", text, "\" is not understood; write ", form));
}

absl::StatusOr<cri::PortMapping> ParsePort(std::string_view text) {
  const absl::Status wrong =
      WrongArgument("port", text, "[ADDRESS:]HOSTPORT:PODPORT[/tcp|udp|sctp]");
  cri::PortMapping out;
  std::string_view rest = text;
  if (const size_t slash = rest.rfind('/'); slash != std::string_view::npos) {
    const std::string_view protocol = rest.substr(slash + 1);
    if (protocol == "udp") {
      out.set_protocol(cri::UDP);
    } else if (protocol == "sctp") {
      out.set_protocol(cri::SCTP);
    } else if (protocol != "tcp") {
      return wrong;
    }
    rest = rest.substr(0, slash);
  }
  const size_t last = rest.rfind(':');
  if (last == std::string_view::npos) return wrong;
  int64_t container_port = 0, host_port = 0;
  if (!ParseNumber(rest.substr(last + 1), 65535, container_port) || container_port == 0)
    return wrong;
  rest = rest.substr(0, last);
  if (const size_t colon = rest.rfind(':'); colon != std::string_view::npos) {
    std::string_view address = rest.substr(0, colon);
    if (address.starts_with('[') && address.ends_with(']'))
      address = address.substr(1, address.size() - 2);
    if (address.empty()) return wrong;
    out.set_host_ip(std::string(address));
    rest = rest.substr(colon + 1);
  }
  if (!ParseNumber(rest, 65535, host_port) || host_port == 0) return wrong;
  out.set_container_port(static_cast<int32_t>(container_port));
  out.set_host_port(static_cast<int32_t>(host_port));
  return out;
}

absl::StatusOr<cri::Mount> ParseVolume(std::string_view text) {
  const std::vector<std::string_view> parts = Split(text, ':');
  const bool formed =
      parts.size() == 2 || (parts.size() == 3 && (parts[2] == "ro" || parts[2] == "rw"));
  if (!formed || !parts[0].starts_with('/') || !parts[1].starts_with('/'))
    return WrongArgument("volume", text, "/PATH/ON/THE/NODE:/PATH/IN/THE/CONTAINER[:ro]");
  cri::Mount out;
  out.set_host_path(std::string(parts[0]));
  out.set_container_path(std::string(parts[1]));
  out.set_readonly(parts.size() == 3 && parts[2] == "ro");
  return out;
}

absl::StatusOr<cri::KeyValue> ParseEnvironment(std::string_view text) {
  const size_t equals = text.find('=');
  cri::KeyValue out;
  out.set_key(std::string(text.substr(0, equals)));
  if (out.key().empty()) return WrongArgument("environment", text, "KEY=VALUE");
  if (equals != std::string_view::npos) {
    out.set_value(std::string(text.substr(equals + 1)));
  } else if (const char* value = std::getenv(out.key().c_str())) {
    out.set_value(value);
  } else {
    return absl::InvalidArgumentError(
        Cat("environment \"", text, "\" has no value here to be passed on; write KEY=VALUE"));
  }
  return out;
}

absl::Status ParseUser(std::string_view text, cri::LinuxContainerSecurityContext& context) {
  const size_t colon = text.find(':');
  int64_t id = 0;
  const std::string_view user = text.substr(0, colon);
  if (user.empty()) return WrongArgument("user", text, "UID, UID:GID or NAME");
  if (ParseNumber(user, UINT32_MAX, id)) {
    context.mutable_run_as_user()->set_value(id);
  } else {
    context.set_run_as_username(std::string(user));
  }
  if (colon == std::string_view::npos) return absl::OkStatus();
  if (!ParseNumber(text.substr(colon + 1), UINT32_MAX, id))
    return WrongArgument("user", text, "UID, UID:GID or NAME");
  context.mutable_run_as_group()->set_value(id);
  return absl::OkStatus();
}

std::string NameFromImage(std::string_view image) {
  if (const size_t at = image.find('@'); at != std::string_view::npos) image = image.substr(0, at);
  image = image.substr(image.rfind('/') + 1);
  image = image.substr(0, image.find(':'));
  std::string name;
  for (char c : image) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (plain || (!name.empty() && name.back() != '-')) name += plain ? c : '-';
  }
  name.resize(std::min<size_t>(name.size(), 40));
  if (name.empty()) name = "pod";
  if (name.back() != '-') name += '-';
  return name + RandomId().substr(0, 5);
}

}  // namespace crisp
