#include "kernel/cgroup_transaction.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>

#include "base/file.h"
#include "base/status.h"

namespace crisp {
namespace {

// A limit as a number: "max" and "-1" are as much as there is.
std::optional<int64_t> LimitOf(std::string_view text) {
  if (text == "max" || text.starts_with('-')) return std::numeric_limits<int64_t>::max();
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return static_cast<int64_t>(std::min<uint64_t>(value, std::numeric_limits<int64_t>::max()));
}

// The file that tells how much of this limit is in use; empty if there is none.
std::string UsageFileOf(const std::string& file) {
  static constexpr std::string_view kV1 = "limit_in_bytes";
  if (file == "memory.max") return "memory.current";
  if (file.ends_with(kV1) && (file == "memory.limit_in_bytes" || file.starts_with("hugetlb.") ||
                              file == "memory.memsw.limit_in_bytes")) {
    return Cat(std::string_view(file).substr(0, file.size() - kV1.size()), "usage_in_bytes");
  }
  if (file.starts_with("hugetlb.") && file.ends_with(".max")) {
    return Cat(std::string_view(file).substr(0, file.size() - 3), "current");
  }
  return "";
}

// Page cache that nobody uses and that needs no writing before it can be dropped.
int64_t Droppable(const CgroupFolder& folder, bool v2) {
  const auto count = [&](const char* one, const char* two) {
    return static_cast<int64_t>(folder.Counter("memory.stat", v2 ? two : one));
  };
  const int64_t idle = count("total_inactive_file", "inactive_file");
  const int64_t busy =
      count("total_dirty", "file_dirty") + count("total_writeback", "file_writeback");
  return std::max<int64_t>(idle - busy, 0);
}

absl::Status CheckUsage(const CgroupFolder& folder, const CgroupChange& change) {
  const std::string usage_file = UsageFileOf(change.file);
  const std::optional<int64_t> limit = LimitOf(change.value);
  if (usage_file.empty() || !limit) return absl::OkStatus();
  const absl::StatusOr<std::string> text = folder.Read(usage_file);
  if (!text.ok()) return absl::OkStatus();  // then the kernel itself is the judge
  std::optional<int64_t> usage = LimitOf(*text);
  if (usage && change.file.starts_with("memory.")) {
    usage = *usage - Droppable(folder, change.file == "memory.max");
  }
  if (!usage || *limit >= *usage) return absl::OkStatus();
  return absl::FailedPreconditionError(
      Cat("\"", change.value, "\" for ", JoinPath(change.folder, change.file), " is below the ",
          *usage, " bytes that are in use there; nothing was changed. Choose a higher limit"));
}

// Puts the change of `first` before that of `second`, if both are there (in one folder).
void Order(std::vector<CgroupChange>& changes, std::string_view first, std::string_view second) {
  const auto find = [&](std::string_view file) {
    return std::find_if(changes.begin(), changes.end(),
                        [&](const CgroupChange& change) { return change.file == file; });
  };
  const auto a = find(first), b = find(second);
  if (a == changes.end() || b == changes.end() || a < b) return;
  std::iter_swap(a, b);
}

const CgroupChange* Find(const std::vector<CgroupChange>& changes, std::string_view file) {
  for (const CgroupChange& change : changes) {
    if (change.file == file) return &change;
  }
  return nullptr;
}

void OrderAll(std::vector<CgroupChange>& changes) {
  constexpr const char* kMemory = "memory.limit_in_bytes";
  constexpr const char* kBoth = "memory.memsw.limit_in_bytes";
  const CgroupChange* memory = Find(changes, kMemory);
  const CgroupChange* both = Find(changes, kBoth);
  if (memory != nullptr && both != nullptr) {
    // Memory alone may never be more than memory and swap.
    const bool above = LimitOf(memory->value) > LimitOf(both->before);
    Order(changes, above ? kBoth : kMemory, above ? kMemory : kBoth);
  }
  constexpr const char* kPeriod = "cpu.cfs_period_us";
  constexpr const char* kQuota = "cpu.cfs_quota_us";
  if (const CgroupChange* period = Find(changes, kPeriod)) {
    // The share in between is then smaller than one of the two that are allowed: the kernel holds
    // it against the parent's.
    const bool shorter = LimitOf(period->value) < LimitOf(period->before);
    Order(changes, shorter ? kQuota : kPeriod, shorter ? kPeriod : kQuota);
  }
}

absl::Status WriteChange(const CgroupChange& change) {
  ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(change.folder));
  const int error = folder.TryWrite(change.file, change.value);
  if (error == 0) return absl::OkStatus();
  const absl::Status status =
      Errno(error, Cat("write \"", change.value, "\" to ", JoinPath(change.folder, change.file)));
  // What the kernel says when so much is in use, or a parent allows less.
  return error == EBUSY ? WithCode(absl::StatusCode::kFailedPrecondition, status) : status;
}

// What "restore" writes: the content of before line by line, and io.max's lines for devices that
// it did not have.
std::vector<std::string> LinesBefore(const CgroupChange& change) {
  std::vector<std::string> lines;
  for (const std::string_view line : SplitWords(change.before, '\n')) lines.emplace_back(line);
  if (change.file == "io.max") {
    const std::string_view device = Split(change.value, ' ').front();
    if (Cat("\n", change.before).find(Cat("\n", device, " ")) == std::string::npos) {
      lines.push_back(Cat(device, " rbps=max wbps=max riops=max wiops=max"));
    }
  }
  if (lines.empty()) lines.emplace_back("\n");  // no byte at all would not reach the kernel
  return lines;
}

}  // namespace

absl::StatusOr<CgroupTransaction> CgroupTransaction::Prepare(std::vector<CgroupWrite> writes) {
  CgroupTransaction transaction;
  for (CgroupWrite& write : writes) {
    ASSIGN_OR_RETURN(const CgroupFolder folder, CgroupFolder::Open(write.folder));
    absl::StatusOr<std::string> before = folder.Read(write.file);
    if (!before.ok()) {
      if (!folder.Has(write.file)) return before.status();
      return absl::FailedPreconditionError(
          Cat(before.status().message(),
              ": what cannot be read cannot be put back, so it is not changed either"));
    }
    const bool again = std::any_of(
        transaction.changes_.begin(), transaction.changes_.end(),
        [&](const CgroupChange& c) { return c.folder == write.folder && c.file == write.file; });
    if (write.value == *before && !again) continue;
    CgroupChange change{std::move(write.folder), std::move(write.file), std::move(write.value),
                        *std::move(before)};
    RETURN_IF_ERROR(CheckUsage(folder, change));
    transaction.changes_.push_back(std::move(change));
  }
  OrderAll(transaction.changes_);
  return transaction;
}

absl::Status CgroupTransaction::Commit() {
  for (size_t i = 0; i < changes_.size(); ++i) {
    const absl::Status status = WriteChange(changes_[i]);
    if (status.ok()) continue;
    const absl::Status undone =
        RestoreCgroup({changes_.begin(), changes_.begin() + static_cast<ptrdiff_t>(i) + 1});
    if (undone.ok()) {
      return absl::Status(status.code(), Cat(status.message(), "; all limits are as before"));
    }
    return absl::InternalError(
        Cat(status.message(), "; and not all limits are as before: ", undone.message()));
  }
  return absl::OkStatus();
}

absl::Status CgroupTransaction::Rollback() const { return RestoreCgroup(changes_); }

absl::Status RestoreCgroup(const std::vector<CgroupChange>& changes) {
  absl::Status first;
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    const absl::StatusOr<CgroupFolder> folder = CgroupFolder::Open(change->folder);
    if (absl::IsNotFound(folder.status())) continue;
    absl::Status status = folder.status();
    if (status.ok()) {
      // Already so, or never changed: not every file takes what it shows.
      const absl::StatusOr<std::string> now = folder->Read(change->file);
      if (now.ok() && *now == change->before) continue;
      for (const std::string& line : LinesBefore(*change)) {
        const absl::Status written = folder->Write(change->file, line);
        if (status.ok()) status = written;
      }
    }
    if (absl::IsNotFound(status)) continue;
    if (first.ok()) first = status;
  }
  return first;
}

}  // namespace crisp
