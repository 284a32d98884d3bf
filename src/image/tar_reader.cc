#include "image/tar_reader.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/status.h"

namespace crisp {

// What pax and GNU headers before an entry say about it.
struct TarReader::Extension {
  std::map<std::string, std::string> pax;
  std::string long_path;
  std::string long_link;
};

namespace {

constexpr uint64_t kMaxExtension = 1 << 20;
constexpr size_t kMaxPaxRecords = 1000;
constexpr uint64_t kMaxFile = uint64_t{1} << 43;

absl::Status Bad(std::string_view why) {
  return absl::InvalidArgumentError(Cat("the layer is no valid tar archive: ", why));
}

std::string_view Field(const char* block, size_t offset, size_t size) {
  const std::string_view field(block + offset, size);
  return field.substr(0, field.find('\0'));
}

// Octal digits, or base 256 with the top bit set (GNU).
absl::StatusOr<int64_t> Number(const char* block, size_t offset, size_t size) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(block + offset);
  if (bytes[0] & 0x80) {
    const bool negative = bytes[0] & 0x40;
    uint64_t value = negative ? ~uint64_t{0} : 0;
    for (size_t i = 0; i < size; ++i) {
      const uint64_t byte = i == 0 ? (bytes[0] & 0x7f) | (negative ? 0x80 : 0) : bytes[i];
      if (i + 8 < size && byte != (negative ? 0xff : 0)) return Bad("a number is too large");
      value = (value << 8) | byte;
    }
    if ((value >> 63) != (negative ? 1u : 0u)) return Bad("a number is too large");
    return static_cast<int64_t>(value);
  }
  const std::string_view text = Trim(Field(block, offset, size));
  if (text.empty()) return 0;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) {
    return Bad("a number is malformed");
  }
  return value;
}

bool ChecksumFits(const char* block) {
  int64_t unsigned_sum = 0, signed_sum = 0;
  for (size_t i = 0; i < kTarBlock; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    unsigned_sum += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  const auto expected = Number(block, 148, 8);
  return expected.ok() && (*expected == unsigned_sum || *expected == signed_sum);
}

absl::StatusOr<int64_t> Decimal(std::string_view text, std::string_view what) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    return Bad(Cat("pax ", what, " is no number"));
  return value;
}

// "<length> <key>=<value>\n" records (POSIX pax).
absl::Status ParsePax(std::string_view text, std::map<std::string, std::string>* records) {
  while (!text.empty()) {
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || space > 9) return Bad("a pax record has no length");
    ASSIGN_OR_RETURN(const int64_t length, Decimal(text.substr(0, space), "length"));
    if (length <= static_cast<int64_t>(space) + 2 || length > static_cast<int64_t>(text.size()) ||
        text[length - 1] != '\n') {
      return Bad("a pax record has a wrong length");
    }
    const std::string_view record = text.substr(space + 1, length - space - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return Bad("a pax record has no key");
    if (records->size() >= kMaxPaxRecords) return Bad("an entry has too many pax records");
    (*records)[std::string(record.substr(0, equals))] = record.substr(equals + 1);
    text.remove_prefix(length);
  }
  return absl::OkStatus();
}

absl::Status ParseTime(std::string_view text, TarEntry* entry) {
  const size_t dot = text.find('.');
  const bool negative = text.starts_with('-');
  ASSIGN_OR_RETURN(entry->mtime, Decimal(text.substr(0, dot), "mtime"));
  entry->mtime_ns = 0;
  if (dot == std::string_view::npos) return absl::OkStatus();
  std::string digits(text.substr(dot + 1, 9));
  digits.resize(9, '0');
  ASSIGN_OR_RETURN(const int64_t ns, Decimal(digits, "mtime"));
  if (ns < 0) return Bad("pax mtime is malformed");
  entry->mtime_ns = static_cast<uint32_t>(ns);
  if (negative && ns > 0) {  // -1.25 is 0.75 after -2
    --entry->mtime;
    entry->mtime_ns = static_cast<uint32_t>(1'000'000'000 - ns);
  }
  return absl::OkStatus();
}

absl::StatusOr<TarEntry::Type> TypeOf(char flag) {
  switch (flag) {
    case '0':
    case '\0':
    case '7':
      return TarEntry::Type::kFile;
    case '1':
      return TarEntry::Type::kHardLink;
    case '2':
      return TarEntry::Type::kSymlink;
    case '3':
      return TarEntry::Type::kCharDevice;
    case '4':
      return TarEntry::Type::kBlockDevice;
    case '5':
      return TarEntry::Type::kFolder;
    case '6':
      return TarEntry::Type::kFifo;
    case 'S':
      return absl::UnimplementedError(
          "the layer holds a sparse file in GNU format, which crisp does not read");
    default:
      return Bad(Cat("an entry has the unknown type ", static_cast<int>(flag)));
  }
}

}  // namespace

absl::StatusOr<std::string_view> TarReader::Piece(size_t most) {
  if (rest_.empty()) {
    ASSIGN_OR_RETURN(rest_, source_.Next());
  }
  const std::string_view piece = rest_.substr(0, most);
  rest_.remove_prefix(piece.size());
  consumed_ += piece.size();
  return piece;
}

// False at the end of the stream.
absl::StatusOr<bool> TarReader::ReadBlock(char* block) {
  size_t have = 0;
  while (have < kTarBlock) {
    ASSIGN_OR_RETURN(const std::string_view piece, Piece(kTarBlock - have));
    if (piece.empty()) {
      if (have == 0) return false;
      return absl::DataLossError("the layer's tar archive is cut off");
    }
    std::memcpy(block + have, piece.data(), piece.size());
    have += piece.size();
  }
  return true;
}

absl::Status TarReader::Skip(uint64_t bytes) {
  while (bytes > 0) {
    ASSIGN_OR_RETURN(const std::string_view piece, Piece(std::min<uint64_t>(bytes, SIZE_MAX)));
    if (piece.empty()) return absl::DataLossError("the layer's tar archive is cut off");
    bytes -= piece.size();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> TarReader::ReadWhole(uint64_t size, std::string_view what) {
  if (size > kMaxExtension) return Bad(Cat(what, " is larger than 1 MiB"));
  std::string whole;
  while (whole.size() < size) {
    ASSIGN_OR_RETURN(const std::string_view piece, Piece(size - whole.size()));
    if (piece.empty()) return absl::DataLossError("the layer's tar archive is cut off");
    whole.append(piece);
  }
  RETURN_IF_ERROR(Skip((kTarBlock - size % kTarBlock) % kTarBlock));
  return whole;
}

absl::StatusOr<bool> TarReader::NextEntry(TarEntry* entry) {
  if (ended_) return false;
  RETURN_IF_ERROR(Skip(data_left_));
  RETURN_IF_ERROR(Skip(padding_));
  data_left_ = padding_ = 0;
  Extension extension;
  char block[kTarBlock];
  while (true) {
    ASSIGN_OR_RETURN(const bool more, ReadBlock(block));
    if (!more || std::all_of(block, block + kTarBlock, [](char c) { return c == 0; })) {
      ended_ = true;
      return false;
    }
    if (!ChecksumFits(block)) return Bad("a header's checksum is wrong");
    const char flag = block[156];
    if (flag != 'x' && flag != 'g' && flag != 'L' && flag != 'K') break;
    ASSIGN_OR_RETURN(const int64_t size, Number(block, 124, 12));
    if (size < 0) return Bad("a size is negative");
    ASSIGN_OR_RETURN(const std::string text, ReadWhole(size, "an extended header"));
    if (flag == 'x') RETURN_IF_ERROR(ParsePax(text, &extension.pax));
    if (flag == 'L') extension.long_path = text.substr(0, text.find('\0'));
    if (flag == 'K') extension.long_link = text.substr(0, text.find('\0'));
  }
  *entry = TarEntry{};
  RETURN_IF_ERROR(ParseHeader(block, extension, entry));
  data_left_ = entry->size;
  padding_ = (kTarBlock - entry->size % kTarBlock) % kTarBlock;
  data_offset_ = consumed_;
  return true;
}

absl::Status TarReader::ParseHeader(const char* block, const Extension& extension,
                                    TarEntry* entry) {
  ASSIGN_OR_RETURN(entry->type, TypeOf(block[156]));
  entry->path = Field(block, 0, 100);
  entry->link = Field(block, 157, 100);
  ASSIGN_OR_RETURN(const int64_t mode, Number(block, 100, 8));
  ASSIGN_OR_RETURN(int64_t uid, Number(block, 108, 8));
  ASSIGN_OR_RETURN(int64_t gid, Number(block, 116, 8));
  ASSIGN_OR_RETURN(int64_t size, Number(block, 124, 12));
  ASSIGN_OR_RETURN(entry->mtime, Number(block, 136, 12));
  entry->mode = mode & 07777;
  const bool device =
      entry->type == TarEntry::Type::kCharDevice || entry->type == TarEntry::Type::kBlockDevice;
  if (device) {
    ASSIGN_OR_RETURN(const int64_t major, Number(block, 329, 8));
    ASSIGN_OR_RETURN(const int64_t minor, Number(block, 337, 8));
    if (major < 0 || major >= 1 << 12 || minor < 0 || minor >= 1 << 20)
      return Bad("a device number is too large");
    entry->device_major = major;
    entry->device_minor = minor;
  }
  // The prefix field is ustar's; GNU's old format keeps other things there.
  if (std::memcmp(block + 257, "ustar\0", 6) == 0) {
    const std::string_view prefix = Field(block, 345, 155);
    if (!prefix.empty()) entry->path = Cat(prefix, "/", entry->path);
  }
  if (!extension.long_path.empty()) entry->path = extension.long_path;
  if (!extension.long_link.empty()) entry->link = extension.long_link;
  const auto number = [&](const char* key, int64_t* value) -> absl::Status {
    const auto found = extension.pax.find(key);
    if (found == extension.pax.end() || found->second.empty()) return absl::OkStatus();
    ASSIGN_OR_RETURN(*value, Decimal(found->second, key));
    return absl::OkStatus();
  };
  RETURN_IF_ERROR(number("uid", &uid));
  RETURN_IF_ERROR(number("gid", &gid));
  RETURN_IF_ERROR(number("size", &size));
  constexpr int64_t kMaxId = 0xfffffffe;
  if (uid < 0 || uid > kMaxId || gid < 0 || gid > kMaxId) return Bad("an owner is out of range");
  if (size < 0 || static_cast<uint64_t>(size) > kMaxFile) return Bad("a size is out of range");
  entry->uid = static_cast<uid_t>(uid);
  entry->gid = static_cast<gid_t>(gid);
  entry->size = size;
  RETURN_IF_ERROR(ApplyPax(extension, entry));
  // Links, devices and folders have no data, whatever their size field says; old writers put the
  // target's size there.
  if (entry->type != TarEntry::Type::kFile) entry->size = 0;
  // The format of 1979 marks a folder by a slash alone.
  if (entry->type == TarEntry::Type::kFile && entry->path.ends_with('/'))
    entry->type = TarEntry::Type::kFolder;
  return absl::OkStatus();
}

absl::Status TarReader::ApplyPax(const Extension& extension, TarEntry* entry) const {
  constexpr std::string_view kXattr = "SCHILY.xattr.";
  for (const auto& [key, value] : extension.pax) {
    if (key == "path" && !value.empty()) entry->path = value;
    if (key == "linkpath" && !value.empty()) entry->link = value;
    if (key == "mtime" && !value.empty()) RETURN_IF_ERROR(ParseTime(value, entry));
    if (key.starts_with(kXattr)) entry->xattrs[key.substr(kXattr.size())] = value;
    if (key.starts_with("GNU.sparse.")) {
      return absl::UnimplementedError(
          "the layer holds a sparse file in GNU format, which crisp does not read");
    }
  }
  if (entry->path.find('\0') != std::string::npos || entry->link.find('\0') != std::string::npos) {
    return Bad("a name holds a NUL byte");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string_view> TarReader::NextData() {
  if (data_left_ == 0) return std::string_view();
  ASSIGN_OR_RETURN(const std::string_view piece, Piece(std::min<uint64_t>(data_left_, SIZE_MAX)));
  if (piece.empty()) return absl::DataLossError("the layer's tar archive is cut off");
  data_left_ -= piece.size();
  return piece;
}

absl::Status TarReader::Drain() {
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, Piece(SIZE_MAX));
    if (piece.empty()) return absl::OkStatus();
  }
}

}  // namespace crisp
