#include "test/integration/registry_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/unique_fd.h"
#include "test/integration/test_folder.h"

namespace crisp {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  return address;
}

bool Listens(int port) {
  const UniqueFd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = Loopback(port);
  return connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

}  // namespace

int FreePort() {
  const UniqueFd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = Loopback(0);
  socklen_t size = sizeof(address);
  if (bind(probe.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(probe.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    Die("no free port");
  return ntohs(address.sin_port);
}

RegistryProcess::RegistryProcess(const std::string& storage, const std::string& http) {
  const int port = FreePort();
  address_ = Cat("127.0.0.1:", port);
  const std::string config = folder_ / "config.yml";
  (void)ReplaceFile(config, Cat("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n",
                                "storage: {filesystem: {rootdirectory: ", storage,
                                "}, delete: {enabled: true}}\nhttp:\n  addr: '", address_, "'\n",
                                http.empty() ? "" : Cat("  ", http, "\n")));
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 1, (folder_ / "log").c_str(),
                                   O_CREAT | O_WRONLY | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&actions, 1, 2);
  std::string words[] = {"docker-registry", "serve", config};
  char* argv[] = {words[0].data(), words[1].data(), words[2].data(), nullptr};
  if (posix_spawnp(&pid_, "docker-registry", &actions, nullptr, argv, environ) != 0)
    Die("cannot run docker-registry; install the packages of group test");
  posix_spawn_file_actions_destroy(&actions);
  if (!WaitUntil([&] { return Listens(port); })) Die("docker-registry does not listen");
}

RegistryProcess::~RegistryProcess() {
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

}  // namespace crisp
