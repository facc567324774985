#include <gangway/bytes.hpp>

#include <cstdlib>
#include <limits>
#include <new>

namespace gangway {

void Bytes::append(std::span<const std::byte> from) {
  if (from.empty()) return;
  if (from.size() > std::numeric_limits<std::size_t>::max() - size_) throw std::bad_alloc();
  if (from.size() > capacity_ - size_) {
    const bool inside = data_ != nullptr && from.data() >= data_ && from.data() < data_ + size_;
    const std::ptrdiff_t offset = inside ? from.data() - data_ : 0;
    grow(size_ + from.size());
    if (inside) from = {data_ + offset, from.size()};
  }
  std::memcpy(data_ + size_, from.data(), from.size());
  size_ += from.size();
}

void Bytes::shrink_to_fit() {
  if (size_ == 0) {
    Bytes().swap(*this);
  } else if (size_ < capacity_) {
    reallocate(size_);
  }
}

void Bytes::grow(std::size_t at_least) {
  // Half as much again once there is something; the first time exactly what is needed.
  const std::size_t more = capacity_ / 2;
  const bool fits = capacity_ <= std::numeric_limits<std::size_t>::max() - more;
  reallocate(std::max(at_least, fits ? capacity_ + more : at_least));
}

void Bytes::reallocate(std::size_t capacity) {
  void* storage = std::realloc(data_, capacity);
  if (storage == nullptr) throw std::bad_alloc();
  data_ = static_cast<std::byte*>(storage);
  capacity_ = capacity;
}

void Bytes::release() noexcept { std::free(data_); }

}  // namespace gangway
