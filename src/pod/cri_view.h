// CRI messages made from records: what lists and statuses tell. Pure functions; any thread.
#pragma once

#include <string>

#include "api/cri.pb.h"
#include "api/record.pb.h"
#include "base/json.h"

namespace crisp {

::runtime::v1::PodSandboxState StateOf(const record::Pod& pod);
::runtime::v1::ContainerState StateOf(const record::Container& container);

::runtime::v1::PodSandboxStatus StatusOf(const record::Pod& pod);
::runtime::v1::PodSandbox ItemOf(const record::Pod& pod);
::runtime::v1::ContainerStatus StatusOf(const record::Container& container);
::runtime::v1::Container ItemOf(const record::Container& container);

// A protobuf message as JSON, for verbose answers.
Json JsonOf(const google::protobuf::Message& message);

}  // namespace crisp
