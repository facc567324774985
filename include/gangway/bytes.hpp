// Bytes: an owned, contiguous run of bytes; Python's `bytes` as a C++ value.
//
// The storage comes from malloc and grows with realloc, because for large blocks that is
// mremap: 64 MiB grow without being copied, and new room is not written before it is used.
//
// Threads: like std::vector. Lifetime: pointers and spans last until the next change.
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <span>
#include <string_view>
#include <utility>

namespace gangway {

class Bytes {
 public:
  using value_type = std::byte;
  using iterator = std::byte*;
  using const_iterator = const std::byte*;

  Bytes() noexcept = default;
  explicit Bytes(std::span<const std::byte> from) { append(from); }
  explicit Bytes(std::string_view from) { append(std::as_bytes(std::span(from))); }
  Bytes(const Bytes& other) : Bytes(other.span()) {}
  Bytes(Bytes&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Bytes& operator=(const Bytes& other) { return *this = Bytes(other); }
  Bytes& operator=(Bytes&& other) noexcept {
    Bytes(std::move(other)).swap(*this);
    return *this;
  }
  ~Bytes() {
    if (data_ != nullptr) release();
  }

  [[nodiscard]] std::byte* data() noexcept { return data_; }
  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] iterator begin() noexcept { return data_; }
  [[nodiscard]] iterator end() noexcept { return data_ + size_; }
  [[nodiscard]] const_iterator begin() const noexcept { return data_; }
  [[nodiscard]] const_iterator end() const noexcept { return data_ + size_; }
  [[nodiscard]] std::byte& operator[](std::size_t at) noexcept { return data_[at]; }
  [[nodiscard]] const std::byte& operator[](std::size_t at) const noexcept { return data_[at]; }

  [[nodiscard]] std::span<const std::byte> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::span<std::byte> span() noexcept { return {data_, size_}; }
  /// The same bytes seen as characters.
  [[nodiscard]] std::string_view view() const noexcept { return {reinterpret_cast<const char*>(data_), size_}; }

  /// Room for `capacity` bytes in all. Throws std::bad_alloc and changes nothing then.
  void reserve(std::size_t capacity) {
    if (capacity > capacity_) reallocate(capacity);
  }
  /// Bytes beyond the old size have no defined value until they are written. Grows in
  /// large steps, so that calling it often is cheap.
  void resize_uninitialized(std::size_t size) {
    if (size > capacity_) grow(size);
    size_ = size;
  }
  /// `from` may be a part of this object.
  void append(std::span<const std::byte> from);
  void push_back(std::byte byte) {
    if (size_ == capacity_) grow(size_ + 1);
    data_[size_++] = byte;
  }
  /// Keeps the storage.
  void clear() noexcept { size_ = 0; }
  void shrink_to_fit();
  void swap(Bytes& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }

  friend bool operator==(const Bytes& a, const Bytes& b) noexcept { return a.view() == b.view(); }
  friend std::strong_ordering operator<=>(const Bytes& a, const Bytes& b) noexcept {
    return a.view().compare(b.view()) <=> 0;
  }

 private:
  void grow(std::size_t at_least);
  void reallocate(std::size_t capacity);
  void release() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace gangway
