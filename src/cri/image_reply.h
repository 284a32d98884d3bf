// ImageStore's records as the messages of runtime.v1. Any thread; pure functions.
#pragma once

#include <map>
#include <string>

#include "api/cri.pb.h"
#include "image/image_store.h"

namespace crisp {

// The Image message: numeric users of the image's config in uid, names in username.
runtime::v1::Image ImageMessage(const ImageRecord& record);

// What ImageStatus tells with verbose: one JSON object under "info".
std::map<std::string, std::string> ImageInfo(const ImageRecord& record);

RegistryCredentials CredentialsOf(const runtime::v1::AuthConfig& auth);

// The image that a request names; InvalidArgument if it names none.
absl::StatusOr<std::string> ImageNameOf(bool has_image, const runtime::v1::ImageSpec& image);

}  // namespace crisp
