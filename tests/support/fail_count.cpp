#include "tests/support/fail_count.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

namespace gangway::testing {

namespace {

thread_local bool counting = false;
thread_local bool failed_once = false;
thread_local std::size_t left = 0;
std::atomic<std::ptrdiff_t> live{0};

// Once an allocation has failed, those that follow succeed: an exception needs memory.
bool must_fail() noexcept {
  if (!counting || failed_once) return false;
  if (left > 0) {
    --left;
    return false;
  }
  failed_once = true;
  return true;
}

void* allocate(std::size_t size) {
  void* const block = must_fail() ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (block == nullptr) throw std::bad_alloc();
  ++live;
  return block;
}

void release(void* block) noexcept {
  if (block == nullptr) return;
  --live;
  std::free(block);
}

}  // namespace

FailCount::FailCount(std::size_t succeeding) noexcept {
  left = succeeding;
  failed_once = false;
  counting = true;
}

FailCount::~FailCount() { counting = false; }

bool FailCount::failed() const noexcept { return failed_once; }

std::ptrdiff_t live_blocks() noexcept { return live; }

}  // namespace gangway::testing

void* operator new(std::size_t size) { return gangway::testing::allocate(size); }
void* operator new[](std::size_t size) { return gangway::testing::allocate(size); }
void operator delete(void* block) noexcept { gangway::testing::release(block); }
void operator delete[](void* block) noexcept { gangway::testing::release(block); }
void operator delete(void* block, std::size_t) noexcept { gangway::testing::release(block); }
void operator delete[](void* block, std::size_t) noexcept { gangway::testing::release(block); }

// Bytes takes its storage from realloc (ld --wrap).
extern "C" {
void* __real_realloc(void* block, std::size_t size);  // NOLINT(bugprone-reserved-identifier)
void* __wrap_realloc(void* block, std::size_t size);  // NOLINT(bugprone-reserved-identifier)

void* __wrap_realloc(void* block, std::size_t size) {  // NOLINT(bugprone-reserved-identifier)
  return gangway::testing::must_fail() ? nullptr : __real_realloc(block, size);
}
}
