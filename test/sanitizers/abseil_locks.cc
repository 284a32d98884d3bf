// Debian's Abseil is built without ThreadSanitizer, which so cannot see its locks: in a build with
// it, every call of them from crisp goes through a function here (ld --wrap) that says what is
// released and acquired. CRISP_ABSEIL is how mangled names of the library begin, with its inline
// namespace.
#include <sanitizer/tsan_interface.h>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"

#define REAL(mangled) __asm__("__real_" mangled)
#define WRAP(mangled) __asm__("__wrap_" mangled)
#define METHOD(rest) "_ZN" CRISP_ABSEIL rest
#define CONST_METHOD(rest) "_ZNK" CRISP_ABSEIL rest

namespace {

void Releases(const void* lock) { __tsan_release(const_cast<void*>(lock)); }
void Acquired(const void* lock) { __tsan_acquire(const_cast<void*>(lock)); }

}  // namespace

void RealLock(absl::Mutex*) REAL(METHOD("5Mutex4LockEv"));
void WrapLock(absl::Mutex*) WRAP(METHOD("5Mutex4LockEv"));
void WrapLock(absl::Mutex* mutex) {
  RealLock(mutex);
  Acquired(mutex);
}

bool RealTryLock(absl::Mutex*) REAL(METHOD("5Mutex7TryLockEv"));
bool WrapTryLock(absl::Mutex*) WRAP(METHOD("5Mutex7TryLockEv"));
bool WrapTryLock(absl::Mutex* mutex) {
  const bool locked = RealTryLock(mutex);
  if (locked) Acquired(mutex);
  return locked;
}

void RealUnlock(absl::Mutex*) REAL(METHOD("5Mutex6UnlockEv"));
void WrapUnlock(absl::Mutex*) WRAP(METHOD("5Mutex6UnlockEv"));
void WrapUnlock(absl::Mutex* mutex) {
  Releases(mutex);
  RealUnlock(mutex);
}

void RealAwait(absl::Mutex*, const absl::Condition&) REAL(METHOD("5Mutex5AwaitERKNS0_9ConditionE"));
void WrapAwait(absl::Mutex*, const absl::Condition&) WRAP(METHOD("5Mutex5AwaitERKNS0_9ConditionE"));
void WrapAwait(absl::Mutex* mutex, const absl::Condition& condition) {
  Releases(mutex);
  RealAwait(mutex, condition);
  Acquired(mutex);
}

bool RealAwaitFor(absl::Mutex*, const absl::Condition&, absl::Duration)
    REAL(METHOD("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"));
bool WrapAwaitFor(absl::Mutex*, const absl::Condition&, absl::Duration)
    WRAP(METHOD("5Mutex16AwaitWithTimeoutERKNS0_9ConditionENS0_8DurationE"));
bool WrapAwaitFor(absl::Mutex* mutex, const absl::Condition& condition, absl::Duration time) {
  Releases(mutex);
  const bool met = RealAwaitFor(mutex, condition, time);
  Acquired(mutex);
  return met;
}

bool RealAwaitUntil(absl::Mutex*, const absl::Condition&, absl::Time)
    REAL(METHOD("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"));
bool WrapAwaitUntil(absl::Mutex*, const absl::Condition&, absl::Time)
    WRAP(METHOD("5Mutex17AwaitWithDeadlineERKNS0_9ConditionENS0_4TimeE"));
bool WrapAwaitUntil(absl::Mutex* mutex, const absl::Condition& condition, absl::Time deadline) {
  Releases(mutex);
  const bool met = RealAwaitUntil(mutex, condition, deadline);
  Acquired(mutex);
  return met;
}

bool RealWaitFor(absl::CondVar*, absl::Mutex*, absl::Duration)
    REAL(METHOD("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
bool WrapWaitFor(absl::CondVar*, absl::Mutex*, absl::Duration)
    WRAP(METHOD("7CondVar15WaitWithTimeoutEPNS0_5MutexENS0_8DurationE"));
bool WrapWaitFor(absl::CondVar* signal, absl::Mutex* mutex, absl::Duration time) {
  Releases(mutex);
  const bool late = RealWaitFor(signal, mutex, time);
  Acquired(mutex);
  return late;
}

bool RealWaitUntil(absl::CondVar*, absl::Mutex*, absl::Time)
    REAL(METHOD("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
bool WrapWaitUntil(absl::CondVar*, absl::Mutex*, absl::Time)
    WRAP(METHOD("7CondVar16WaitWithDeadlineEPNS0_5MutexENS0_4TimeE"));
bool WrapWaitUntil(absl::CondVar* signal, absl::Mutex* mutex, absl::Time deadline) {
  Releases(mutex);
  const bool late = RealWaitUntil(signal, mutex, deadline);
  Acquired(mutex);
  return late;
}

void RealNotify(absl::Notification*) REAL(METHOD("12Notification6NotifyEv"));
void WrapNotify(absl::Notification*) WRAP(METHOD("12Notification6NotifyEv"));
void WrapNotify(absl::Notification* notification) {
  Releases(notification);
  RealNotify(notification);
}

void RealWaitNotified(const absl::Notification*)
    REAL(CONST_METHOD("12Notification19WaitForNotificationEv"));
void WrapWaitNotified(const absl::Notification*)
    WRAP(CONST_METHOD("12Notification19WaitForNotificationEv"));
void WrapWaitNotified(const absl::Notification* notification) {
  RealWaitNotified(notification);
  Acquired(notification);
}
