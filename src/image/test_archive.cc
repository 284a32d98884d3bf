#include "image/test_archive.h"

#include <zlib.h>
#include <zstd.h>

#include <cstdio>
#include <cstring>

#include "base/text.h"

namespace crisp {
namespace {

std::string PaxRecord(const std::string& key, const std::string& value) {
  const size_t content = key.size() + value.size() + 3;  // space, equals sign, new line
  size_t length = content + 1;
  while (Cat(length).size() + content != length) length = Cat(length).size() + content;
  return Cat(length, " ", key, "=", value, "\n");
}

std::string Padded(std::string data) {
  data.resize((data.size() + 511) / 512 * 512);
  return data;
}

void Put(char* block, size_t offset, const std::string& text, size_t size) {
  std::memcpy(block + offset, text.data(), std::min(text.size(), size));
}

std::string Octal(uint64_t value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llo", digits, static_cast<unsigned long long>(value));
  return text;
}

std::string Header(const TestEntry& entry, uint64_t size) {
  char block[512] = {};
  Put(block, 0, entry.path, 100);
  Put(block, 100, Octal(entry.mode, 7), 8);
  Put(block, 108, Octal(entry.uid, 7), 8);
  Put(block, 116, Octal(entry.gid, 7), 8);
  Put(block, 124, Octal(size, 11), 12);
  Put(block, 136, Octal(entry.mtime, 11), 12);
  block[156] = entry.type;
  Put(block, 157, entry.link, 100);
  Put(block, 257,
      std::string("ustar\0"
                  "00",
                  8),
      8);
  Put(block, 329, Octal(entry.major, 7), 8);
  Put(block, 337, Octal(entry.minor, 7), 8);
  std::memset(block + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  Put(block, 148, Octal(sum, 6) + std::string("\0 ", 2), 8);
  return std::string(block, sizeof block);
}

}  // namespace

std::string TarOf(const TestEntry& entry) {
  std::string tar;
  std::map<std::string, std::string> pax = entry.pax;
  if (entry.path.size() > 100) pax["path"] = entry.path;
  if (entry.link.size() > 100) pax["linkpath"] = entry.link;
  if (!pax.empty()) {
    TestEntry extension{"pax", 'x'};
    for (const auto& [key, value] : pax) extension.data += PaxRecord(key, value);
    tar += Header(extension, extension.data.size()) + Padded(extension.data);
  }
  const uint64_t size = entry.lying_size >= 0 ? entry.lying_size : entry.data.size();
  return tar + Header(entry, size) + Padded(entry.data);
}

std::string TarEnd() { return std::string(1024, '\0'); }

std::string Gzip(std::string_view data, int level) {
  z_stream stream{};
  deflateInit2(&stream, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, data.size()) + 64, 0);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(data.data()));
  stream.avail_in = data.size();
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = out.size();
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(std::string_view data) {
  std::string out(ZSTD_compressBound(data.size()), 0);
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 1));
  return out;
}

}  // namespace crisp
