// What a run of cri-bench prints and writes: a table for people, JSON for programs.
#pragma once

#include <string>
#include <vector>

#include "bench/samples.h"
#include "bench/target.h"
#include "nlohmann/json.hpp"

namespace crisp {

// Everything, by target: facts, and for every name count, median, p95, min, max in milliseconds and
// the median in yardsticks (if one was measured).
nlohmann::json Report(const std::vector<Target*>& targets, const Samples& yardstick);

// The same as a table with a column for each target, from Report()'s answer.
std::string Table(const nlohmann::json& report);

}  // namespace crisp
