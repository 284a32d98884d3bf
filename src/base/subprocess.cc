#include "base/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <array>

#include "absl/cleanup/cleanup.h"
#include "base/status.h"
#include "base/unique_fd.h"

namespace crisp {
namespace {

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};

absl::StatusOr<Pipe> MakePipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::vector<char*> Pointers(const std::vector<std::string>& words) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

absl::StatusOr<pid_t> Spawn(const ProcessRequest& request, int in, int out, int err) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  absl::Cleanup free_actions = [&] { posix_spawn_file_actions_destroy(&actions); };
  posix_spawn_file_actions_adddup2(&actions, in, 0);
  posix_spawn_file_actions_adddup2(&actions, out, 1);
  posix_spawn_file_actions_adddup2(&actions, err, 2);

  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  absl::Cleanup free_attributes = [&] { posix_spawnattr_destroy(&attributes); };
  sigset_t none, defaults;
  sigemptyset(&none);
  sigfillset(&defaults);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

  std::vector<char*> argv = Pointers(request.argv);
  std::vector<char*> environment = Pointers(request.environment);
  pid_t pid = -1;
  const int error =
      posix_spawn(&pid, argv[0], &actions, &attributes, argv.data(), environment.data());
  if (error != 0) return Errno(error, Cat("run ", request.argv[0]));
  return pid;
}

// Reads what is there; closes the end at end of file or error.
void Drain(UniqueFd& fd, std::string& data, size_t limit, bool& truncated) {
  std::array<char, 65536> buffer;
  const ssize_t count = read(fd.get(), buffer.data(), buffer.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count <= 0) {
    fd.reset();
    return;
  }
  const size_t room = limit - std::min(limit, data.size());
  data.append(buffer.data(), std::min<size_t>(room, count));
  truncated |= static_cast<size_t>(count) > room;
}

void Feed(UniqueFd& fd, std::string_view& rest) {
  const ssize_t count = write(fd.get(), rest.data(), rest.size());
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (count > 0) rest.remove_prefix(count);
  if (count < 0 || rest.empty()) fd.reset();  // a program that closes its stdin early is no error
}

}  // namespace

absl::StatusOr<ProcessResult> RunProcess(const ProcessRequest& request, const Call& call) {
  if (request.argv.empty()) return absl::InvalidArgumentError("run a program: no program given");
  ASSIGN_OR_RETURN(Pipe in, MakePipe());
  ASSIGN_OR_RETURN(Pipe out, MakePipe());
  ASSIGN_OR_RETURN(Pipe err, MakePipe());
  ASSIGN_OR_RETURN(const pid_t pid,
                   Spawn(request, in.read_end.get(), out.write_end.get(), err.write_end.get()));
  in.read_end.reset();
  out.write_end.reset();
  err.write_end.reset();
  for (const UniqueFd* fd : {&in.write_end, &out.read_end, &err.read_end})
    fcntl(fd->get(), F_SETFL, O_NONBLOCK);

  ProcessResult result;
  std::string_view rest = request.stdin_data;
  if (rest.empty()) in.write_end.reset();
  absl::Status verdict;
  int wait_status = 0;
  bool exited = false;
  // A background child may keep the pipes open: once the program itself is gone, only what is there
  // already is read.
  while (verdict.ok() && !exited) {
    std::array<struct pollfd, 3> waits = {{{in.write_end.get(), POLLOUT, 0},
                                           {out.read_end.get(), POLLIN, 0},
                                           {err.read_end.get(), POLLIN, 0}}};
    const bool open = out.read_end.valid() || err.read_end.valid();
    poll(waits.data(), waits.size(), open ? 20 : 1);
    if (waits[0].revents != 0) Feed(in.write_end, rest);
    if (waits[1].revents != 0)
      Drain(out.read_end, result.stdout_data, request.max_output_bytes, result.truncated);
    if (waits[2].revents != 0)
      Drain(err.read_end, result.stderr_data, request.max_output_bytes, result.truncated);
    exited = waitpid(pid, &wait_status, WNOHANG) == pid;
    verdict = call.Check();
  }
  if (!exited) {
    kill(-pid, SIGKILL);
    while (waitpid(pid, &wait_status, 0) < 0 && errno == EINTR) {
    }
    return Annotate(verdict, Cat("run ", request.argv[0]));
  }
  for (auto [fd, data] : {std::pair(&out.read_end, &result.stdout_data),
                          std::pair(&err.read_end, &result.stderr_data)}) {
    size_t before;
    do {
      before = data->size();
      if (fd->valid()) Drain(*fd, *data, request.max_output_bytes, result.truncated);
    } while (fd->valid() && data->size() != before);
  }
  result.exit_code =
      WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
  return result;
}

}  // namespace crisp
