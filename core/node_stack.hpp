// The stack of a decoder: nodes that are built, and beside each what must be known of it.
//
// It grows by what was read, never by what was announced. Small values need no allocation.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

namespace gangway::detail {

/// How deep a node is nested (a scalar 0, an empty list 1), and what may be done with it.
struct Shape {
  static constexpr std::uint32_t depth_mask = 0x00ff'ffff;
  static constexpr std::uint32_t unhashable = 0x0100'0000;
  static constexpr std::uint32_t list = 0x0200'0000 | unhashable;
  static constexpr std::uint32_t dict = 0x0400'0000 | unhashable;
  static constexpr std::uint32_t set = 0x0800'0000 | unhashable;

  std::uint32_t bits = 0;

  [[nodiscard]] std::uint32_t depth() const noexcept { return bits & depth_mask; }
  [[nodiscard]] bool hashable() const noexcept { return (bits & unhashable) == 0; }
  [[nodiscard]] bool is(std::uint32_t container) const noexcept { return (bits & ~depth_mask) == container; }
};

/// `Note` is what is kept beside each node.
template <class Node, class Note = Shape>
class NodeStack {
  static_assert(std::is_nothrow_move_constructible_v<Node> && std::is_nothrow_destructible_v<Node>);

 public:
  NodeStack() noexcept : nodes_(reinterpret_cast<Node*>(inline_nodes_)), notes_(inline_notes_) {}
  NodeStack(const NodeStack&) = delete;
  NodeStack& operator=(const NodeStack&) = delete;
  ~NodeStack() {
    pop_to(0);
    if (capacity_ != inline_capacity) release();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] Node& operator[](std::size_t at) noexcept { return nodes_[at]; }
  [[nodiscard]] Note& note(std::size_t at) noexcept { return notes_[at]; }
  [[nodiscard]] std::span<Node> from(std::size_t first) noexcept { return {nodes_ + first, size_ - first}; }
  [[nodiscard]] std::span<const Note> notes_from(std::size_t first) const noexcept {
    return {notes_ + first, size_ - first};
  }

  /// Puts what `make()` returns on top, in place.
  template <class Make>
  void push(Make&& make, Note note = {}) {
    if (size_ == capacity_) grow();
    new (nodes_ + size_) Node(std::forward<Make>(make)());
    notes_[size_] = note;
    ++size_;
  }
  void pop_to(std::size_t size) noexcept {
    while (size_ > size) nodes_[--size_].~Node();
  }

 private:
  static constexpr std::size_t inline_capacity = 128;  // 5 KiB of the thread's stack for Values

  void grow() {
    const std::size_t capacity = capacity_ * 2;
    std::unique_ptr<Note[]> notes(new Note[capacity]);
    Node* nodes = std::allocator<Node>().allocate(capacity);
    std::copy(notes_, notes_ + size_, notes.get());
    for (std::size_t i = 0; i < size_; ++i) {
      new (nodes + i) Node(std::move(nodes_[i]));
      nodes_[i].~Node();
    }
    if (capacity_ != inline_capacity) release();
    nodes_ = nodes;
    notes_ = notes.release();
    capacity_ = capacity;
  }
  void release() noexcept {
    std::allocator<Node>().deallocate(nodes_, capacity_);
    delete[] notes_;
  }

  alignas(Node) std::byte inline_nodes_[inline_capacity * sizeof(Node)];
  Note inline_notes_[inline_capacity];
  Node* nodes_;
  Note* notes_;
  std::size_t size_ = 0;
  std::size_t capacity_ = inline_capacity;
};

}  // namespace gangway::detail
