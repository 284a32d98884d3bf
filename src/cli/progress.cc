#include "cli/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/output.h"

namespace crisp {
namespace {

using operate::v1::LayerProgress;

const char* StateText(LayerProgress::State state) {
  switch (state) {
    case LayerProgress::DOWNLOADING:
      return "pulling";
    case LayerProgress::PRESENT:
      return "present";
    case LayerProgress::DONE:
      return "done";
    default:
      return "waiting";
  }
}

double Share(const LayerProgress& layer) {
  if (layer.state() == LayerProgress::DONE || layer.state() == LayerProgress::PRESENT) return 1;
  if (layer.total_bytes() == 0) return 0;
  return std::min(1.0, static_cast<double>(layer.done_bytes()) / layer.total_bytes());
}

}  // namespace

std::string ProgressView::BarLine(const LayerProgress& layer, int columns) {
  std::string head = Cat(ShortId(layer.digest()), "  ", StateText(layer.state()));
  head.append(head.size() < 24 ? 24 - head.size() : 1, ' ');
  const std::string tail =
      layer.state() == LayerProgress::DOWNLOADING
          ? Cat("  ", SizeText(layer.done_bytes()), " of ", SizeText(layer.total_bytes()))
          : Cat("  ", SizeText(layer.total_bytes()));
  // Room for the longest tail, so that bars of different states line up.
  const int room = columns - static_cast<int>(head.size()) - 2 - 28;
  if (room < 10) return Printable(head + tail).substr(0, std::max(columns - 1, 1));
  const int width = std::min(room, 40);
  const int filled = static_cast<int>(Share(layer) * width);
  std::string bar = "[";
  bar.append(filled, '=');
  bar.append(width - filled, ' ');
  return Printable(head) + bar + "]" + tail;
}

std::string ProgressView::PlainLine(const LayerProgress& layer) {
  return Printable(Cat("layer ", ShortId(layer.digest()), ": ", StateText(layer.state()), ", ",
                       SizeText(layer.total_bytes())));
}

void ProgressView::Show(const operate::v1::PullProgress& progress) {
  std::string text;
  if (columns_ > 0) {
    if (lines_drawn_ > 0 && progress.layers_size() > 0) text += Cat("\x1b[", lines_drawn_, "A");
    for (const LayerProgress& layer : progress.layers())
      text += Cat("\r", BarLine(layer, columns_), "\x1b[K\n");
    if (progress.layers_size() > 0) lines_drawn_ = std::max(lines_drawn_, progress.layers_size());
  } else {
    for (const LayerProgress& layer : progress.layers()) {
      const auto [entry, first] = told_.try_emplace(layer.digest(), LayerProgress::WAITING);
      if (entry->second == layer.state()) continue;
      entry->second = layer.state();
      text += PlainLine(layer) + "\n";
    }
  }
  std::fwrite(text.data(), 1, text.size(), out_);
  std::fflush(out_);
}

int TerminalColumns(int fd) {
  if (::isatty(fd) == 0) return 0;
  winsize size = {};
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace crisp
