// Whether this is a build with a sanitizer that brings memory, threads and descriptors of its own.
#pragma once

namespace gangway::test {

#if defined(__SANITIZE_THREAD__)
#define GANGWAY_THREAD_SANITIZER 1
#elif defined(__SANITIZE_ADDRESS__)
#define GANGWAY_ADDRESS_SANITIZER 1
#elif defined(__has_feature)  // clang
#if __has_feature(thread_sanitizer)
#define GANGWAY_THREAD_SANITIZER 1
#elif __has_feature(address_sanitizer)
#define GANGWAY_ADDRESS_SANITIZER 1
#endif
#endif

/// Holds signals back while a thread computes and calls nothing.
#ifdef GANGWAY_THREAD_SANITIZER
inline constexpr bool thread_sanitized = true;
#else
inline constexpr bool thread_sanitized = false;
#endif

#ifdef GANGWAY_ADDRESS_SANITIZER
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = thread_sanitized;
#endif

}  // namespace gangway::test
