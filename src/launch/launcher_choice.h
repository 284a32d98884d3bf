// LauncherChoice: the native launcher for requests that name no runtime, the OCI CLI launcher for
// the others. One thread; borrows both.
#pragma once

#include "launch/launcher.h"

namespace crisp {

class LauncherChoice : public Launcher {
 public:
  LauncherChoice(Launcher& native, Launcher& oci) : native_(native), oci_(oci) {}

  absl::StatusOr<Launch> Start(const StartRequest& request) override {
    return For(request.runtime).Start(request);
  }
  absl::StatusOr<Launch> Exec(const ExecRequest& request) override {
    return For(request.runtime).Exec(request);
  }
  absl::StatusOr<Launch> Kill(const KillRequest& request) override {
    return For(request.runtime).Kill(request);
  }
  absl::StatusOr<Launch> Restore(const RestoreRequest& request) override {
    return native_.Restore(request);
  }

 private:
  Launcher& For(const RuntimeProgram& runtime) { return runtime.path.empty() ? native_ : oci_; }

  Launcher& native_;
  Launcher& oci_;
};

}  // namespace crisp
