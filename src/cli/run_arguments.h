// The arguments of `crisp run` that have a form of their own. Pure functions; InvalidArgument names
// what was written and how it should look.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "api/cri.pb.h"

namespace crisp {

// What `what` says is not understood; `form` is how to write it.
absl::Status WrongArgument(std::string_view what, std::string_view text, std::string_view form);

// "8080:80", "8080:80/udp", "127.0.0.1:8080:80", "[::1]:8080:80/tcp".
absl::StatusOr<runtime::v1::PortMapping> ParsePort(std::string_view text);
// "/host:/container", with ":ro" or ":rw" after it.
absl::StatusOr<runtime::v1::Mount> ParseVolume(std::string_view text);
// "KEY=VALUE", or "KEY" with the value that this program itself has.
absl::StatusOr<runtime::v1::KeyValue> ParseEnvironment(std::string_view text);
// "1000", "1000:1000", "name": into the security context.
absl::Status ParseUser(std::string_view text, runtime::v1::LinuxContainerSecurityContext& context);
// A name for a pod of this image: what can stand in a host name of "host/path/busybox:1.36".
std::string NameFromImage(std::string_view image);

}  // namespace crisp
