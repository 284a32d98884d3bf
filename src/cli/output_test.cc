#include "cli/output.h"

#include <gtest/gtest.h>

#include "api/cri.pb.h"
#include "cli/progress.h"

namespace crisp {
namespace {

using operate::v1::LayerProgress;

TEST(Output, TableAlignsColumnsByWhatATerminalShows) {
  Table table({"NAME", "STATE"});
  table.Add({"käse", "running"});
  table.Add({"a-long-name", ""});
  EXPECT_EQ(table.Text(),
            "NAME         STATE\n"
            "käse         running\n"
            "a-long-name\n");
}

TEST(Output, ControlCharactersOfStrangersDoNotReachTheTerminal) {
  Table table({"NAME"});
  table.Add({"x\x1b[2J\n"});
  EXPECT_EQ(table.Text(), "NAME\nx?[2J?\n");
}

TEST(Output, ShortForms) {
  EXPECT_EQ(ShortId("sha256:0123456789abcdef0123"), "0123456789abc");
  EXPECT_EQ(ShortId("0123"), "0123");
  EXPECT_EQ(SizeText(0), "0 B");
  EXPECT_EQ(SizeText(1023), "1023 B");
  EXPECT_EQ(SizeText(1536), "1.5 KiB");
  EXPECT_EQ(SizeText((1 << 20) - 1), "1.0 MiB");
  EXPECT_EQ(SizeText(UINT64_MAX), "16.0 EiB");
  const absl::Time now = absl::FromUnixSeconds(1'000'000);
  const auto age = [&](int64_t seconds) {
    return Age(absl::ToUnixNanos(now - absl::Seconds(seconds)), now);
  };
  EXPECT_EQ(age(1), "1 second");
  EXPECT_EQ(age(119), "119 seconds");
  EXPECT_EQ(age(120), "2 minutes");
  EXPECT_EQ(age(3 * 3600), "3 hours");
  EXPECT_EQ(age(5 * 86400), "5 days");
  EXPECT_EQ(age(-10), "0 seconds");
  EXPECT_EQ(Age(0, now), "-");
  EXPECT_EQ(TimeText(1'000'000'001), "1970-01-01T00:00:01.000000001Z");
  EXPECT_EQ(TimeText(0), "");
}

TEST(Output, MessagesBecomeJsonAndTheirInfoIsUnfolded) {
  runtime::v1::ContainerStatusResponse message;
  message.mutable_status()->set_image_ref("x");
  (*message.mutable_info())["info"] = R"({"pid": 7})";
  (*message.mutable_info())["other"] = "no json";
  const Json json = MessageJson(message);
  EXPECT_EQ(json["status"]["image_ref"], "x");
  EXPECT_EQ(json["info"]["info"]["pid"], 7);
  EXPECT_EQ(json["info"]["other"], "no json");
}

TEST(Progress, BarsFillAndFitTheTerminal) {
  LayerProgress layer;
  layer.set_digest("sha256:0123456789abcdef");
  layer.set_total_bytes(4096);
  layer.set_done_bytes(2048);
  layer.set_state(LayerProgress::DOWNLOADING);
  EXPECT_EQ(ProgressView::BarLine(layer, 80),
            "0123456789abc  pulling  [=============             ]  2.0 KiB of 4.0 KiB");
  for (int columns = 1; columns < 200; ++columns)
    EXPECT_LE(ProgressView::BarLine(layer, columns).size(), static_cast<size_t>(columns));
  layer.set_state(LayerProgress::DONE);
  EXPECT_EQ(ProgressView::BarLine(layer, 80),
            "0123456789abc  done     [==========================]  4.0 KiB");
  // More than was promised, or an unknown size, break nothing.
  layer.set_state(LayerProgress::DOWNLOADING);
  layer.set_done_bytes(10000);
  EXPECT_NE(ProgressView::BarLine(layer, 80).find("=]"), std::string::npos);
  layer.set_total_bytes(0);
  EXPECT_NE(ProgressView::BarLine(layer, 80).find("[  "), std::string::npos);
}

TEST(Progress, PlainLinesTellChangesOnly) {
  char* text = nullptr;
  size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  ProgressView view(out, 0);
  operate::v1::PullProgress progress;
  auto& layer = *progress.add_layers();
  layer.set_digest("sha256:0123456789abcdef");
  layer.set_total_bytes(1024);
  view.Show(progress);
  layer.set_state(LayerProgress::DOWNLOADING);
  view.Show(progress);
  layer.set_done_bytes(512);
  view.Show(progress);
  layer.set_state(LayerProgress::DONE);
  view.Show(progress);
  std::fclose(out);
  EXPECT_STREQ(text,
               "layer 0123456789abc: pulling, 1.0 KiB\n"
               "layer 0123456789abc: done, 1.0 KiB\n");
  ::free(text);
}

}  // namespace
}  // namespace crisp
