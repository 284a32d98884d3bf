// bench-peer: the other end of what cri-bench measures, inside a container: linked statically, so
// that it runs in any image, and quick, so that it is not what is measured.
//
//   bench-peer idle          does nothing until it is killed
//   bench-peer source BYTES  writes so many bytes to stdout
//   bench-peer sink          reads stdin to its end, then writes "done"
//   bench-peer serve PORT    on TCP, one client after the other: "get BYTES\n" is answered with as
//                            many bytes, "put BYTES\n" and as many bytes with "done\n"
//   bench-peer die           writes the time (nanoseconds since 1970) to stdout and exits at once
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

char buffer[256 << 10];

bool WriteBytes(int fd, unsigned long long bytes) {
  while (bytes > 0) {
    const ssize_t count = write(fd, buffer, std::min<unsigned long long>(bytes, sizeof buffer));
    if (count <= 0) return false;
    bytes -= static_cast<unsigned long long>(count);
  }
  return true;
}

// Up to so many bytes, or to the end.
void ReadBytes(int fd, unsigned long long bytes) {
  while (bytes > 0) {
    const ssize_t count = read(fd, buffer, std::min<unsigned long long>(bytes, sizeof buffer));
    if (count <= 0) return;
    bytes -= static_cast<unsigned long long>(count);
  }
}

void Say(int fd, const char* text) {
  if (write(fd, text, std::strlen(text)) < 0) _exit(1);
}

void ServeOne(int fd) {
  char line[64] = {};
  for (size_t i = 0; i + 1 < sizeof line && read(fd, line + i, 1) == 1 && line[i] != '\n'; ++i) {
  }
  if (std::strlen(line) < 5) return;
  const unsigned long long bytes = std::strtoull(line + 4, nullptr, 10);
  if (line[0] == 'g') {
    WriteBytes(fd, bytes);
  } else {
    ReadBytes(fd, bytes);
    Say(fd, "done\n");
  }
}

int Serve(int port) {
  const int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 16) != 0) {
    std::perror("listen");
    return 1;
  }
  for (;;) {
    const int client = accept(listener, nullptr, nullptr);
    if (client < 0) return 1;
    ServeOne(client);
    close(client);
  }
}

void Die() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  char text[32];
  const int size = std::snprintf(text, sizeof text, "%lld\n",
                                 now.tv_sec * 1000000000LL + static_cast<long long>(now.tv_nsec));
  if (write(1, text, static_cast<size_t>(size)) < 0) _exit(1);
  _exit(0);
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const char* word = argc > 1 ? argv[1] : "";
  const char* argument = argc > 2 ? argv[2] : "0";
  if (std::strcmp(word, "idle") == 0) {
    for (;;) pause();
  }
  if (std::strcmp(word, "source") == 0)
    return WriteBytes(1, std::strtoull(argument, nullptr, 10)) ? 0 : 1;
  if (std::strcmp(word, "sink") == 0) {
    ReadBytes(0, ~0ULL);
    Say(1, "done\n");
    return 0;
  }
  if (std::strcmp(word, "serve") == 0) return Serve(std::atoi(argument));
  if (std::strcmp(word, "die") == 0) Die();
  std::fprintf(stderr, "bench-peer: unknown word \"%s\"\n", word);
  return 2;
}
