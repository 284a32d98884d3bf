#include "pod/layer_meter.h"

#include <stdlib.h>

#include "absl/time/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "gmock/gmock.h"

namespace crisp {
namespace {

class LayerMeterTest : public testing::Test {
 protected:
  void SetUp() override {
    char folder[] = "/tmp/crisp-layer-XXXXXX";
    ASSERT_NE(mkdtemp(folder), nullptr);
    folder_ = folder;
    ASSERT_TRUE(ReplaceFile(folder_ + "/file", std::string(100000, 'x')).ok());
  }
  void TearDown() override { EXPECT_TRUE(RemoveTree(folder_).ok()); }

  std::string folder_;
};

TEST_F(LayerMeterTest, MeasuresWhatIsAskedFor) {
  LayerMeter meter;
  EXPECT_FALSE(meter.Get("one", folder_).has_value());
  std::optional<LayerUsage> layer;
  for (int i = 0; i < 2000 && !layer; ++i) {
    absl::SleepFor(absl::Milliseconds(10));
    layer = meter.Get("one", folder_);
  }
  ASSERT_TRUE(layer.has_value());
  EXPECT_EQ(layer->usage.inodes, 2u);
  EXPECT_GE(layer->usage.bytes, 100000u);
  EXPECT_GT(layer->time, 0);
  meter.Forget("one");
  EXPECT_FALSE(meter.Get("one", folder_).has_value());
}

TEST_F(LayerMeterTest, AFolderThatHasGoneIsNoTrouble) {
  LayerMeter meter;
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(meter.Get("gone", folder_ + "/none").has_value());
}

TEST_F(LayerMeterTest, EndsInTheMidstOfAWalk) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(MakeFolders(Cat(folder_, "/", i)).ok());
  LayerMeter meter;
  meter.Get("one", folder_);
}

}  // namespace
}  // namespace crisp
