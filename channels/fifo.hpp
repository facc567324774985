// A queue on a vector: an empty one takes no memory beside itself (10,000 idle channels
// have two each; a std::deque would take half a kilobyte).
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace gangway::detail {

template <class T>
class Fifo {
 public:
  [[nodiscard]] bool empty() const noexcept { return first_ == items_.size(); }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size() - first_; }
  [[nodiscard]] T& front() noexcept { return items_[first_]; }

  void push(T item) {
    // Before the vector grows, the room of what was taken is used again.
    if (first_ > 0 && items_.size() == items_.capacity() && first_ >= items_.size() / 2) {
      items_.erase(items_.begin(), items_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    items_.push_back(std::move(item));
  }

  T pop() {
    T item = std::move(items_[first_]);
    if (++first_ == items_.size()) clear_taken();
    return item;
  }

  /// Removes what equals `item`, wherever it stands. True if it was there.
  bool remove(const T& item) {
    for (std::size_t at = first_; at < items_.size(); ++at) {
      if (!(items_[at] == item)) continue;
      items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(at));
      return true;
    }
    return false;
  }

  void clear() noexcept {
    items_ = {};
    first_ = 0;
  }

  [[nodiscard]] auto begin() noexcept { return items_.begin() + static_cast<std::ptrdiff_t>(first_); }
  [[nodiscard]] auto end() noexcept { return items_.end(); }

 private:
  // A burst must not keep its memory for ever.
  void clear_taken() {
    first_ = 0;
    if (items_.capacity() * sizeof(T) > 64 * 1024)  // NOLINT(bugprone-sizeof-expression): T may be a pointer
      items_ = {};
    else
      items_.clear();
  }

  std::vector<T> items_;
  std::size_t first_ = 0;
};

}  // namespace gangway::detail
