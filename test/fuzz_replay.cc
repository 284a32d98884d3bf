// Replays a fuzzer's corpus as a test: every file of the folder given goes once through the fuzz
// target, and so does the empty input. A crash, a sanitizer's report or a missing corpus fails the
// test.
#include <dirent.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  DIR* folder = opendir(argv[1]);
  if (folder == nullptr) {
    std::perror(argv[1]);
    return 1;
  }
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(""), 0);
  int replayed = 0;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] == '.') continue;
    std::ifstream file(std::string(argv[1]) + "/" + entry->d_name, std::ios::binary);
    const std::string data((std::istreambuf_iterator<char>(file)),
                           std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(data.data()), data.size());
    ++replayed;
  }
  closedir(folder);
  std::printf("replayed %d inputs of %s\n", replayed, argv[1]);
  return replayed > 0 ? 0 : 1;
}
