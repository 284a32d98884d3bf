// What every integration test needs of its surroundings: a folder of its own and patience with a
// bound. Not thread-safe.
#pragma once

#include <functional>
#include <string>

#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace crisp {

// The tests' own means have failed: says so and ends the program.
[[noreturn]] void Die(const std::string& why);

// Asks every 10 ms until done says yes; false when the limit is over. The limit is a safety net for
// slow machines, not an assertion about speed.
bool WaitUntil(const std::function<bool()>& done, absl::Duration limit = absl::Seconds(120));

// A new folder below /tmp, removed with its content in the end.
class TestFolder {
 public:
  TestFolder();
  TestFolder(const TestFolder&) = delete;
  ~TestFolder();

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  // Leaves it in place, for whoever looks into a failure.
  void Keep() { keep_ = true; }

 private:
  std::string path_;
  bool keep_ = false;
};

// The folder of the program that runs: crispd and crisp stand beside it.
std::string ProgramFolder();

}  // namespace crisp
