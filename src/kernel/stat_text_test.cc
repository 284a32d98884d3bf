#include "kernel/stat_text.h"

#include "gmock/gmock.h"
#include "kernel/process_stats.h"

namespace crisp {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(StatText, NumbersAndLimits) {
  EXPECT_EQ(ParseFigure("42\n"), Figure(42));
  EXPECT_EQ(ParseFigure("0"), Figure(0));
  EXPECT_EQ(ParseFigure("18446744073709551615\n"), Figure(UINT64_MAX));
  for (const char* none : {"", "\n", "max\n", "-1\n", "4 2\n", "18446744073709551616\n", "0x1"}) {
    EXPECT_EQ(ParseFigure(none), std::nullopt) << none;
  }
  EXPECT_EQ(ParseLimit("1048576\n"), Figure(1048576));
  EXPECT_EQ(ParseLimit("9223372036854771712\n"), std::nullopt);  // version 1's "no limit"
  EXPECT_EQ(ParseLimit("max\n"), std::nullopt);
}

TEST(StatText, KeyedLines) {
  Figure anon, file, missing, odd;
  const KeyedFigure wanted[] = {
      {"anon", &anon}, {"file", &file}, {"missing", &missing}, {"odd", &odd}};
  ParseKeyed("anon 4096\nanon_thp 1\nfile 8192\nodd x\n", wanted);
  EXPECT_EQ(anon, Figure(4096));
  EXPECT_EQ(file, Figure(8192));
  EXPECT_EQ(missing, std::nullopt);
  EXPECT_EQ(odd, std::nullopt);
}

TEST(StatText, PressureLines) {
  const auto pressure = ParsePressure(
      "some avg10=12.54 avg60=5.93 avg300=0.06 total=670519229\n"
      "full avg10=0.00 avg60=100.00 avg300=0.00 total=7\n");
  ASSERT_TRUE(pressure.has_value());
  EXPECT_DOUBLE_EQ(pressure->some.avg10, 12.54);
  EXPECT_DOUBLE_EQ(pressure->some.avg60, 5.93);
  EXPECT_DOUBLE_EQ(pressure->some.avg300, 0.06);
  EXPECT_EQ(pressure->some.total_us, 670519229u);
  EXPECT_DOUBLE_EQ(pressure->full.avg60, 100);
  EXPECT_EQ(pressure->full.total_us, 7u);
  EXPECT_EQ(ParsePressure(""), std::nullopt);
  EXPECT_EQ(ParsePressure("none avg10=1.00\n"), std::nullopt);
}

TEST(StatText, BlockDevicesOfVersion2) {
  std::vector<DeviceFigures> devices;
  ParseIoStat(
      "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n253:1 \nnonsense rbytes=1\n",
      devices);
  ASSERT_THAT(devices, SizeIs(2));
  EXPECT_EQ(devices[0].major, 8u);
  EXPECT_EQ(devices[0].read_bytes, 4096u);
  EXPECT_EQ(devices[0].write_bytes, 8192u);
  EXPECT_EQ(devices[0].reads, 1u);
  EXPECT_EQ(devices[0].writes, 2u);
  EXPECT_EQ(devices[1].major, 253u);
  EXPECT_EQ(devices[1].minor, 1u);
}

TEST(StatText, BlockDevicesOfVersion1) {
  std::vector<DeviceFigures> devices;
  ParseBlkio("8:16 Read 4096\n8:16 Write 8192\n8:16 Sync 99\n8:16 Total 12288\nTotal 12288\n", true,
             devices);
  ParseBlkio("8:16 Read 1\n8:16 Write 2\n8:16 Total 3\nTotal 3\n", false, devices);
  ASSERT_THAT(devices, SizeIs(1));
  EXPECT_EQ(devices[0].minor, 16u);
  EXPECT_EQ(devices[0].read_bytes, 4096u);
  EXPECT_EQ(devices[0].write_bytes, 8192u);
  EXPECT_EQ(devices[0].reads, 1u);
  EXPECT_EQ(devices[0].writes, 2u);
}

TEST(StatText, Interfaces) {
  const auto links = ParseNetDev(
      "Inter-|   Receive                                                |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs "
      "drop fifo colls carrier compressed\n"
      "    lo:    9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n"
      "  eth0: 1001 12 3 4 0 0 0 0 2002 22 5 6 0 0 0 0\n"
      "net1:1:7 1 0 0 0 0 0 0 8 1 0 0 0 0 0 0\n");
  ASSERT_THAT(links, SizeIs(2));
  EXPECT_EQ(links[0].name, "eth0");
  EXPECT_EQ(links[0].rx_bytes, 1001u);
  EXPECT_EQ(links[0].rx_packets, 12u);
  EXPECT_EQ(links[0].rx_errors, 3u);
  EXPECT_EQ(links[0].rx_dropped, 4u);
  EXPECT_EQ(links[0].tx_bytes, 2002u);
  EXPECT_EQ(links[0].tx_packets, 22u);
  EXPECT_EQ(links[0].tx_errors, 5u);
  EXPECT_EQ(links[0].tx_dropped, 6u);
  EXPECT_EQ(links[1].name, "net1:1");
  EXPECT_EQ(links[1].rx_bytes, 7u);
  EXPECT_THAT(ParseNetDev(""), IsEmpty());
}

TEST(StatText, LimitOfOpenFiles) {
  EXPECT_EQ(ParseOpenFilesLimit("Max processes   1  2  processes\n"
                                "Max open files            1024                 524288   files\n"),
            Figure(1024));
  EXPECT_EQ(ParseOpenFilesLimit("Max open files            unlimited   unlimited   files\n"),
            std::nullopt);
  EXPECT_EQ(ParseOpenFilesLimit("Max open files "), std::nullopt);
  EXPECT_EQ(ParseOpenFilesLimit(""), std::nullopt);
}

}  // namespace
}  // namespace crisp
