// ProgressView: shows how the layers of a pull come: a bar for each layer on a terminal, redrawn in
// place, or one plain line whenever a layer changes its state. One thread.
#pragma once

#include <cstdio>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "api/operator.pb.h"

namespace crisp {

class ProgressView {
 public:
  // columns: the terminal's width; 0: no terminal, plain lines.
  ProgressView(std::FILE* out, int columns) : out_(out), columns_(columns) {}

  void Show(const operate::v1::PullProgress& progress);

  // What would be printed, for tests.
  static std::string BarLine(const operate::v1::LayerProgress& layer, int columns);
  static std::string PlainLine(const operate::v1::LayerProgress& layer);

 private:
  std::FILE* const out_;
  const int columns_;
  int lines_drawn_ = 0;
  std::map<std::string, operate::v1::LayerProgress::State> told_;
};

// Columns of the terminal behind fd; 0 if it is none.
int TerminalColumns(int fd);

}  // namespace crisp
