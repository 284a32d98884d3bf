// Paths: where everything of a pod or container lies, all derived from the two folders of the
// options and the ids, so that recovery finds it by the record alone. docs/on-disk.md draws the
// trees. Immutable; any thread.
#pragma once

#include <string>
#include <string_view>

#include "base/file.h"
#include "base/text.h"

namespace crisp {

class Paths {
 public:
  Paths(std::string root, std::string state, std::string netns_dir)
      : root_(std::move(root)), state_(std::move(state)), netns_dir_(std::move(netns_dir)) {}

  // Below state, a tmpfs: gone after a reboot.
  std::string Pods() const { return Cat(state_, "/pods"); }
  std::string Pod(std::string_view id) const { return Cat(state_, "/pods/", id); }
  std::string MonitorSocket(std::string_view pod) const { return Cat(Pod(pod), "/monitor.sock"); }
  std::string Shm(std::string_view pod) const { return Cat(Pod(pod), "/shm"); }
  std::string Ipc(std::string_view pod) const { return Cat(Pod(pod), "/ipc"); }
  std::string Uts(std::string_view pod) const { return Cat(Pod(pod), "/uts"); }
  std::string User(std::string_view pod) const { return Cat(Pod(pod), "/user"); }
  std::string ImageVolumes(std::string_view pod) const { return Cat(Pod(pod), "/images"); }
  // By the first 32 digits of the image's id.
  std::string ImageVolume(std::string_view pod, std::string_view image) const {
    const size_t colon = image.find(':');
    return Cat(ImageVolumes(pod), "/", image.substr(colon == image.npos ? 0 : colon + 1, 32));
  }
  std::string Hostname(std::string_view pod) const { return Cat(Pod(pod), "/hostname"); }
  std::string Hosts(std::string_view pod) const { return Cat(Pod(pod), "/hosts"); }
  std::string ResolvConf(std::string_view pod) const { return Cat(Pod(pod), "/resolv.conf"); }
  std::string Bundles(std::string_view pod) const { return Cat(Pod(pod), "/containers"); }
  std::string Bundle(std::string_view pod, std::string_view container) const {
    return Cat(Pod(pod), "/containers/", container);
  }
  std::string ExitRecord(std::string_view pod, std::string_view container) const {
    return Cat(Bundle(pod, container), "/exit");
  }

  // In the netns folder, which other programs know.
  const std::string& NetnsFolder() const { return netns_dir_; }
  static std::string NetnsName(std::string_view pod) { return Cat("crisp-", pod.substr(0, 32)); }
  std::string Netns(std::string_view pod) const { return Cat(netns_dir_, "/", NetnsName(pod)); }

  // Below root, on a disk.
  std::string Containers() const { return Cat(root_, "/containers"); }
  std::string Container(std::string_view id) const { return Cat(root_, "/containers/", id); }
  std::string Upper(std::string_view id) const { return Cat(Container(id), "/upper"); }
  std::string Work(std::string_view id) const { return Cat(Container(id), "/work"); }
  std::string Volume(std::string_view id, size_t number) const {
    return Cat(Container(id), "/volumes/", number);
  }
  // CRIU's images of a container that is to be restored; its log and pid file are in Container().
  std::string RestoreImages(std::string_view id) const { return Cat(Container(id), "/checkpoint"); }
  // Checkpoints on their way out or in, each in a folder of its own.
  std::string Checkpoints() const { return Cat(root_, "/checkpoints"); }
  // The lowest layer of an image that is mounted as a volume.
  std::string EmptyLayer() const { return Cat(root_, "/empty"); }
  // For trying what the file system can do, at the start.
  std::string Probe() const { return Cat(root_, "/probe"); }
  std::string Trash() const { return Cat(root_, "/trash"); }
  // The lowest layer of every container: empty mount points that an image may lack.
  std::string Skeleton() const { return Cat(root_, "/skeleton"); }
  std::string Seccomp() const { return Cat(root_, "/seccomp"); }
  const std::string& root() const { return root_; }
  const std::string& state() const { return state_; }

 private:
  const std::string root_;
  const std::string state_;
  const std::string netns_dir_;
};

}  // namespace crisp
