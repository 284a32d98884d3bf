// CRI messages made of readings: what the stats verbs tell. docs/stats.md says where each number
// comes from. Pure functions; any thread.
#pragma once

#include <optional>
#include <string>

#include "api/cri.pb.h"
#include "api/record.pb.h"
#include "pod/layer_meter.h"
#include "pod/stats_meter.h"

namespace crisp {

// A container that does not run has zeros. `mountpoint`: a folder on the file system of the
// writable layers.
::runtime::v1::ContainerStats StatsOf(const record::Container& container,
                                      const StatsReading& reading,
                                      const std::optional<LayerUsage>& layer,
                                      const std::string& mountpoint);

// Without network and containers.
::runtime::v1::PodSandboxStats StatsOf(const record::Pod& pod, const StatsReading& reading);

::runtime::v1::NetworkInterfaceUsage UsageOf(const LinkFigures& link);

}  // namespace crisp
