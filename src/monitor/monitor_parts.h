// MonitorParts: what all processes of a pod share. One thread; everything outlives its users.
#pragma once

#include "base/event_loop.h"
#include "kernel/cgroup_tree.h"
#include "launch/launcher.h"
#include "monitor/read_buffer.h"
#include "monitor/reaper.h"

namespace crisp {

struct MonitorParts {
  EventLoop& loop;
  Launcher& launcher;
  Reaper& reaper;
  ReadBuffer& buffer;
  const CgroupTree* cgroups;  // null: none are watched or killed (tests)
};

}  // namespace crisp
