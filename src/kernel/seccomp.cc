#include "kernel/seccomp.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

constexpr size_t kMaxRules = 4096;
constexpr size_t kMaxNames = 20000;

absl::Status Refuse(std::string_view what) {
  return absl::InvalidArgumentError(Cat("seccomp profile: ", what));
}

absl::StatusOr<uint32_t> Action(const std::string& name, int64_t error) {
  static const auto* const kPlain = new std::map<std::string_view, uint32_t>{
      {"SCMP_ACT_KILL", SCMP_ACT_KILL},
      {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD},
      {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
      {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
      {"SCMP_ACT_LOG", SCMP_ACT_LOG},
      {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
  };
  if (const auto found = kPlain->find(name); found != kPlain->end()) return found->second;
  if (error < 0 || error > 4095) return Refuse(Cat("errnoRet ", error, " is no error number"));
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(static_cast<uint32_t>(error));
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(static_cast<uint32_t>(error));
  if (name == "SCMP_ACT_NOTIFY") {
    return absl::UnimplementedError(
        "seccomp profile: SCMP_ACT_NOTIFY needs a listener, which crisp does not serve yet");
  }
  return Refuse(Cat("\"", name, "\" is no action"));
}

absl::StatusOr<scmp_compare> Operator(const std::string& name) {
  static const auto* const kOperators = new std::map<std::string_view, scmp_compare>{
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
  };
  const auto found = kOperators->find(name);
  if (found == kOperators->end()) return Refuse(Cat("\"", name, "\" is no comparison"));
  return found->second;
}

// "SCMP_ARCH_X86_64" -> libseccomp's token; 0 if this libseccomp does not know it.
uint32_t Architecture(std::string name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  if (name.starts_with(kPrefix)) name.erase(0, kPrefix.size());
  for (char& letter : name) {
    if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
  }
  return seccomp_arch_resolve_name(name.c_str());
}

uint64_t Number(const Json& object, std::string_view key) {
  const Json* member = JsonMember(object, key);
  return member != nullptr && member->is_number_unsigned()
             ? member->get<uint64_t>()
             : static_cast<uint64_t>(JsonInt(object, key));
}

// One object a compilation: owns libseccomp's filter.
class Compiler {
 public:
  absl::Status Start(const Json& profile);
  absl::Status AddRule(const Json& rule);
  absl::StatusOr<std::string> Export() const;

 private:
  absl::StatusOr<std::vector<scmp_arg_cmp>> Conditions(const Json& rule) const;
  absl::Status AddCall(const std::string& name, uint32_t action,
                       const std::vector<scmp_arg_cmp>& conditions);

  std::unique_ptr<void, void (*)(void*)> filter_{nullptr, seccomp_release};
  uint32_t default_action_ = 0;
  size_t names_ = 0;
  int newest_call_ = 0;  // highest number among the calls that rules name
};

// The kernel's name for the architecture that this machine's programs mostly use; 0: not known
// here.
uint32_t NativeAuditArchitecture() {
#if defined(__x86_64__)
  return AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  return AUDIT_ARCH_AARCH64;
#elif defined(__riscv) && __riscv_xlen == 64
  return AUDIT_ARCH_RISCV64;
#else
  return 0;
#endif
}

// What comes before the filter: system calls newer than all that the profile knows do not exist
// (ENOSYS), so that a newer libc falls back to the older ones instead of failing with EPERM.
std::string NewerCallsDoNotExist(int newest_call) {
  constexpr uint32_t kX32Bit = 0x40000000;
  const uint8_t rest = 0;
  const sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, NativeAuditArchitecture(), 0, 4),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, rest),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, static_cast<uint32_t>(newest_call), rest, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
  };
  return {reinterpret_cast<const char*>(program), sizeof program};
}

absl::Status Compiler::Start(const Json& profile) {
  if (!profile.is_object()) return Refuse("it is no JSON object");
  ASSIGN_OR_RETURN(default_action_, Action(JsonString(profile, "defaultAction"),
                                           JsonInt(profile, "defaultErrnoRet", EPERM)));
  filter_.reset(seccomp_init(default_action_));
  if (filter_ == nullptr) return Refuse("libseccomp refuses its defaultAction");
  // The launcher sets no_new_privs only when it is asked for; a binary tree instead of a list of
  // comparisons makes loading and every system call cheaper (libseccomp 2.5).
  if (seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_NNP, 0) != 0) {
    return absl::InternalError("libseccomp: cannot clear no_new_privs");
  }
  seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  const Json* architectures = JsonMember(profile, "architectures");
  if (architectures == nullptr) return absl::OkStatus();
  if (!architectures->is_array() || architectures->size() > 64) {
    return Refuse("architectures is no short array");
  }
  for (const Json& architecture : *architectures) {
    if (!architecture.is_string()) return Refuse("an architecture is no string");
    const uint32_t token = Architecture(architecture.get<std::string>());
    if (token == 0)
      return Refuse(Cat("\"", architecture.get<std::string>(), "\" is no architecture"));
    const int error = seccomp_arch_add(filter_.get(), token);
    if (error != 0 && error != -EEXIST) {
      return Refuse(Cat("architecture ", architecture.get<std::string>(), " cannot be added"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<scmp_arg_cmp>> Compiler::Conditions(const Json& rule) const {
  std::vector<scmp_arg_cmp> conditions;
  const Json* args = JsonMember(rule, "args");
  if (args == nullptr || args->is_null()) return conditions;
  if (!args->is_array() || args->size() > 64) return Refuse("args of a rule is no short array");
  for (const Json& arg : *args) {
    const int64_t index = JsonInt(arg, "index", -1);
    if (index < 0 || index > 5) return Refuse("the index of an argument must be 0 to 5");
    ASSIGN_OR_RETURN(const scmp_compare compare, Operator(JsonString(arg, "op")));
    const uint64_t value = Number(arg, "value");
    // For a masked comparison OCI's "value" is the mask and "valueTwo" what must come out.
    conditions.push_back({static_cast<unsigned>(index), compare, value, Number(arg, "valueTwo")});
  }
  return conditions;
}

absl::Status Compiler::AddCall(const std::string& name, uint32_t action,
                               const std::vector<scmp_arg_cmp>& conditions) {
  if (++names_ > kMaxNames) return Refuse("it names too many system calls");
  const int call = seccomp_syscall_resolve_name(name.c_str());
  if (call == __NR_SCMP_ERROR) return absl::OkStatus();
  newest_call_ = std::max(newest_call_, call);
  const auto add = [&](const std::vector<scmp_arg_cmp>& list) {
    const int error = seccomp_rule_add_array(filter_.get(), action, call,
                                             static_cast<unsigned>(list.size()), list.data());
    // EEXIST: said before. EDOM, EACCES: the call or the action adds nothing on this architecture.
    if (error == 0 || error == -EEXIST || error == -EDOM || error == -EACCES)
      return absl::OkStatus();
    return Refuse(Cat("the rule for ", name, " cannot be added (error ", -error, ")"));
  };
  // libseccomp takes one condition an argument in a rule; as runc does, several conditions on the
  // same argument become rules of their own.
  bool repeated = false;
  for (size_t i = 0; i < conditions.size(); ++i) {
    for (size_t k = 0; k < i; ++k) repeated = repeated || conditions[i].arg == conditions[k].arg;
  }
  if (!repeated) return add(conditions);
  for (const scmp_arg_cmp& condition : conditions) RETURN_IF_ERROR(add({condition}));
  return absl::OkStatus();
}

absl::Status Compiler::AddRule(const Json& rule) {
  ASSIGN_OR_RETURN(const uint32_t action,
                   Action(JsonString(rule, "action"), JsonInt(rule, "errnoRet", EPERM)));
  if (action == default_action_) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<scmp_arg_cmp> conditions, Conditions(rule));
  const Json* names = JsonMember(rule, "names");
  if (names == nullptr || !names->is_array()) return Refuse("a rule has no array \"names\"");
  for (const Json& name : *names) {
    if (!name.is_string()) return Refuse("the name of a system call is no string");
    RETURN_IF_ERROR(AddCall(name.get_ref<const std::string&>(), action, conditions));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Compiler::Export() const {
  UniqueFd memory(memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory.valid()) return ErrnoStatus("make a memory file for a seccomp filter");
  const int error = seccomp_export_bpf(filter_.get(), memory.get());
  if (error != 0) return Refuse(Cat("libseccomp cannot compile it (error ", -error, ")"));
  if (lseek(memory.get(), 0, SEEK_SET) != 0) return ErrnoStatus("rewind a seccomp filter");
  ASSIGN_OR_RETURN(std::string program, ReadFd(memory.get(), "a seccomp filter"));
  const bool refuses = default_action_ != SCMP_ACT_ALLOW && default_action_ != SCMP_ACT_LOG;
  if (refuses && newest_call_ > 0 && NativeAuditArchitecture() != 0) {
    program.insert(0, NewerCallsDoNotExist(newest_call_));
  }
  // struct sock_filter has 8 bytes and the kernel takes at most 4096 of them.
  if (program.empty() || program.size() % 8 != 0 || program.size() / 8 > 4096) {
    return Refuse(
        Cat("it compiles to ", program.size() / 8, " instructions; the kernel takes 1 to 4096"));
  }
  return program;
}

}  // namespace

absl::StatusOr<std::string> CompileSeccomp(const Json& profile) {
  Compiler compiler;
  RETURN_IF_ERROR(compiler.Start(profile));
  if (const Json* rules = JsonMember(profile, "syscalls"); rules != nullptr && !rules->is_null()) {
    if (!rules->is_array() || rules->size() > kMaxRules)
      return Refuse("syscalls is no array, or too long");
    for (const Json& rule : *rules) RETURN_IF_ERROR(compiler.AddRule(rule));
  }
  return compiler.Export();
}

std::string SeccompCompilerVersion() {
  const scmp_version* version = seccomp_version();
  return Cat(version->major, ".", version->minor, ".", version->micro);
}

}  // namespace crisp
