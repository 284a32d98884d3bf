// What pull, load and run share: bringing an image to the node and showing how it comes. Progress
// goes to stderr, so that stdout holds the result alone. One thread.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/session.h"

namespace crisp {

struct ArrivedImage {
  std::string id;
  std::vector<std::string> names;
};

absl::StatusOr<ArrivedImage> PullShowingProgress(Session& session,
                                                 const operate::v1::PullImageRequest& request,
                                                 bool quiet);
absl::StatusOr<std::vector<ArrivedImage>> LoadShowingProgress(
    Session& session, const operate::v1::LoadImageRequest& request, bool quiet);

}  // namespace crisp
