// What crisp aims at, and how a measured endpoint stands to it. Pure functions.
#pragma once

#include <string>

#include "nlohmann/json.hpp"

namespace crisp {

// Of the first target in Report()'s answer: for every aim its name, the value (null if it was not
// measured), unit, aim, the value in yardsticks if it is a time, and whether the aim is met.
nlohmann::json Figures(const nlohmann::json& report);

// The same for people.
std::string FigureTable(const nlohmann::json& figures);

}  // namespace crisp
