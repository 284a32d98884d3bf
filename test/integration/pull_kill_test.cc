// kill -9 in the middle of a pull, at chosen places: after every start the store is what it was
// before the pull or has the whole image, in the database and on the disk, and pulling again works.
#include <signal.h>

#include <random>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "test/integration/cut_proxy.h"
#include "test/integration/node_test.h"
#include "test/integration/store_state.h"

namespace crisp {
namespace {

using testing::IsEmpty;

class PullKill : public NodeTest {
 protected:
  static constexpr char kImage[] = "cut.test/victim:latest";
  using Store = std::multiset<std::string>;

  std::string ExtraConfig() override {
    proxy_ = std::make_unique<CutProxy>(registry().address());
    return Cat("[[registry]]\nhost = \"cut.test\"\nmirrors = [\"http://", proxy_->address(),
               "\"]\n");
  }

  void SetUp() override {
    NodeTest::SetUp();
    std::mt19937 random(7);
    std::string noise;
    while (noise.size() < (600 << 10)) noise += static_cast<char>(random());
    TestImage image = BusyboxImage();
    for (const Packing packing : {Packing::kGzip, Packing::kZstd, Packing::kPlain}) {
      TestLayer layer;
      layer.Folder("noise");
      for (int i = 0; i < 20; ++i)
        layer.File(Cat("noise/", static_cast<int>(packing), "-", i),
                   noise.substr(i * 30'000, 30'000));
      image.Add(layer.Tar(), packing);
    }
    registry().Push("victim:latest", image);
    absent_ = StoreState(daemon().root());
    // How much a pull brings, and what the store holds after one.
    proxy_->Arm(0, nullptr);
    ASSERT_THAT(cri().Pull(kImage), IsOk());
    whole_bytes_ = proxy_->passed();
    present_ = StoreState(daemon().root());
    ASSERT_GT(present_.size(), absent_.size() + 6);
    ASSERT_GT(whole_bytes_, 1 << 20);
    RemoveVictim();
  }

  void RemoveVictim() {
    ASSERT_THAT(cri().RemoveImage(kImage), IsOk());
    ASSERT_EQ(StoreState(daemon().root()), absent_);
  }

  // Kills the daemon so long after so many bytes have come; true if the image was there after the
  // next start.
  bool KillInPull(int64_t bytes, absl::Duration later) {
    const pid_t victim = daemon().pid();
    proxy_->Arm(bytes, [victim, later] {
      if (later > absl::ZeroDuration()) return;
      kill(victim, SIGKILL);
    });
    std::thread puller([&] { (void)cri().Pull(kImage); });
    if (later > absl::ZeroDuration()) {
      EXPECT_TRUE(WaitUntil([&] { return proxy_->passed() >= bytes; }));
      absl::SleepFor(later);
      kill(victim, SIGKILL);
    }
    puller.join();
    daemon().Kill();
    EXPECT_THAT(daemon().Start(), IsOk());
    const bool present = Must(cri().ImageStatus(kImage)).has_value();
    EXPECT_EQ(StoreState(daemon().root()), present ? present_ : absent_);
    return present;
  }

  void PullAgainAndRun(const std::string& name) {
    proxy_->Arm(0, nullptr);
    ASSERT_THAT(cri().Pull(kImage), IsOk());
    ASSERT_EQ(StoreState(daemon().root()), present_);
    v1::ContainerConfig config = ContainerConfig("main", Shell("cat /noise/* | wc -c"));
    config.mutable_image()->set_image(kImage);
    const Pod pod = RunPod(name);
    EXPECT_EQ(RunToEnd(pod, config), Cat(3 * 20 * 30'000, "\n"));
    EXPECT_THAT(cri().RemovePod(pod.id), IsOk());
    RemoveVictim();
  }

  std::unique_ptr<CutProxy> proxy_;
  int64_t whole_bytes_ = 0;
  Store absent_, present_;
};

TEST_F(PullKill, WhileBytesCome) {
  constexpr int kPlaces = 8;
  for (int place = 0; place < kPlaces; ++place) {
    SCOPED_TRACE(Cat("place ", place));
    EXPECT_FALSE(KillInPull(1 + whole_bytes_ * place / kPlaces, absl::ZeroDuration()));
    if (place % 4 == 3) PullAgainAndRun(Cat("place-", place));
    if (HasFailure()) return;
  }
}

// From the last byte on: unpacking ends, the layers are synced, the transaction makes the image
// visible. Where exactly it dies is left to chance; some rounds should be before the commit, some
// after.
TEST_F(PullKill, AfterTheLastByte) {
  int present = 0;
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(Cat("round ", round));
    if (KillInPull(whole_bytes_ - 200, absl::Microseconds(1 + round * round * 1200))) {
      ++present;
      RemoveVictim();
    }
    if (HasFailure()) return;
  }
  RecordProperty("committed", present);
  PullAgainAndRun("after");
}

// A second caller's pull and a shared layer do not change what is left behind.
TEST_F(PullKill, OfTwoImagesThatShareLayers) {
  TestImage other = BusyboxImage();
  other.config["Cmd"] = {"other"};
  registry().Push("sibling:latest", other);
  for (int place = 1; place <= 3; ++place) {
    const pid_t victim = daemon().pid();
    proxy_->Arm(whole_bytes_ * place / 4, [&] { kill(victim, SIGKILL); });
    std::thread one([&] { (void)cri().Pull(kImage); });
    std::thread two([&] { (void)cri().Pull(kImage); });
    std::thread sibling([&] { (void)cri().Pull("registry.test/sibling:latest"); });
    for (std::thread* thread : {&one, &two, &sibling}) thread->join();
    daemon().Kill();
    ASSERT_THAT(daemon().Start(), IsOk());
    EXPECT_FALSE(Must(cri().ImageStatus(kImage)).has_value());
    EXPECT_THAT(cri().RemoveImage("registry.test/sibling:latest"), IsOk());
    ASSERT_EQ(StoreState(daemon().root()), absent_) << "place " << place;
  }
  PullAgainAndRun("shared");
}

}  // namespace
}  // namespace crisp
