#include "oci/apparmor.h"

#include "base/file.h"
#include "base/status.h"
#include "base/subprocess.h"
#include "oci/validate.h"

namespace crisp {
namespace {

constexpr size_t kMaxListBytes = 8 << 20;

}  // namespace

std::string DefaultAppArmorProfile() {
  return Cat("# Made by crispd at its start. Changes are lost.\nprofile ", kDefaultAppArmorProfile,
             R"( flags=(attach_disconnected,mediate_deleted) {
  file,
  network,
  capability,
  umount,

  signal (receive) peer=unconfined,
  signal (send, receive) peer=)",
             kDefaultAppArmorProfile, R"(,
  ptrace (trace, read, tracedby, readby) peer=)",
             kDefaultAppArmorProfile, R"(,

  deny mount,
  deny /proc/{kcore,kmem,mem,sysrq-trigger,timer_list} rwklx,
  deny /proc/acpi/** wklx,
  deny /proc/bus/** wklx,
  deny /proc/irq/** wklx,
  deny /proc/sys/{abi,crypto,debug,dev,user,vm}/** wklx,
  deny /proc/sys/fs/{binfmt_misc/**,file-max,nr_open,protected_*,suid_dumpable} wklx,
  deny /proc/sys/kernel/{core_*,hotplug,kexec*,modprobe,panic*,poweroff_cmd,sysrq} wklx,
  deny /proc/sys/kernel/{keys,usermodehelper,yama}/** wklx,
  deny /sys/{block,bus,class,dev,devices,firmware,hypervisor,module,power}/** wklx,
  deny /sys/fs/{bpf,btrfs,ext4,f2fs,fuse,pstore,selinux,xfs}/** wklx,
  deny /sys/kernel/** wklx,
  deny /sys/firmware/efi/efivars/** rwklx,
  deny /sys/kernel/security/** rwklx,
}
)");
}

absl::StatusOr<bool> AppArmorProfileLoaded(std::string_view name, const std::string& securityfs) {
  const std::string path = JoinPath(securityfs, "profiles");
  const absl::StatusOr<std::string> list = ReadFile(path, kMaxListBytes);
  if (!list.ok()) {
    return absl::FailedPreconditionError(
        Cat("the list of loaded AppArmor profiles cannot be read: ",
            FromAbsl(list.status().message())));
  }
  for (const std::string_view line : SplitWords(*list, '\n')) {
    // A name may hold brackets and spaces itself: the mode is behind the last bracket.
    const size_t mode = line.rfind(" (");
    if (line.substr(0, mode) == name) return true;
  }
  return false;
}

absl::Status LoadDefaultAppArmorProfile(const std::string& parser, const Call& call) {
  ProcessRequest request;
  request.argv = {parser, "--replace", "--skip-cache"};
  request.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  request.stdin_data = DefaultAppArmorProfile();
  ASSIGN_OR_RETURN(const ProcessResult result, RunProcess(request, call));
  if (result.exit_code == 0) return absl::OkStatus();
  return absl::InternalError(Cat("loading the AppArmor profile ", kDefaultAppArmorProfile, ": ",
                                 parser, " exited with ", result.exit_code, ": ",
                                 Trim(result.stderr_data).substr(0, 1024)));
}

absl::StatusOr<std::string> EffectiveAppArmorProfile(
    const runtime::v1::LinuxContainerSecurityContext& context, const DaemonLimits& limits) {
  ASSIGN_OR_RETURN(const ProfileChoice choice, AppArmorChoice(context));
  if (choice.kind == ProfileChoice::kUnconfined) return std::string();
  constexpr std::string_view kField = "linux.security_context.apparmor: profile \"";
  if (choice.kind == ProfileChoice::kRuntimeDefault) {
    if (!limits.apparmor) return std::string();
    if (!limits.apparmor_default.ok()) {
      return Annotate(limits.apparmor_default, "linux.security_context.apparmor: RuntimeDefault");
    }
    return std::string(kDefaultAppArmorProfile);
  }
  if (!limits.apparmor) {
    return absl::InvalidArgumentError(
        Cat(kField, choice.reference, "\" cannot be applied: this host has no AppArmor"));
  }
  ASSIGN_OR_RETURN(const bool loaded,
                   AppArmorProfileLoaded(choice.reference, limits.apparmor_securityfs));
  if (loaded) return choice.reference;
  return absl::InvalidArgumentError(
      Cat(kField, choice.reference, "\" is not loaded on this host; load it with apparmor_parser"));
}

}  // namespace crisp
