// One channel as the multiplexer sees it: its queues, its credit, and how it ends.
//
// Thread rule: guarded by the mutex of its connection, all of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/system/error_code.hpp>
#include <gangway/bytes.hpp>
#include <gangway/error.hpp>

#include "channels/fifo.hpp"
#include "channels/write_queue.hpp"
#include "core/item_codec.hpp"

namespace gangway::detail {

/// How what arrives is decoded (wire.md, RECONFIGURE). Items have no Python 2 strings, so
/// the first is only passed on.
struct StringOptions {
  bool py2str_as_py3str = true;
  bool py3str_as_py2str = false;
};

/// An item that has arrived, as it was sent: the thread that takes it decodes it.
struct InItem {
  ItemKind kind = ItemKind::integer;
  std::int64_t integer = 0;  // for ItemKind::integer
  Bytes payload;             // for the others
  std::uint64_t cost = 0;    // what its taker gives back to the sender
  Strings strings{};         // as its channel was configured when it arrived
};

/// A send under way. It belongs to whoever sends; the multiplexer refers to it from
/// send() until finished(), or until it is withdrawn.
class OutItem : public WriteQueue::Borrowed {
 public:
  OutItem(ItemKind item_kind, std::span<const std::byte> bytes) : kind(item_kind), payload(bytes) {}
  explicit OutItem(const EncodedItem& item)
      : kind(item.kind), payload(item.payload), head(item.head), tail(item.tail) {}
  OutItem(const OutItem&) = delete;
  OutItem& operator=(const OutItem&) = delete;

  /// Everything has been written or copied, or nothing more will be.
  virtual void finished(boost::system::error_code error) = 0;

  void on_written(std::size_t size) final { given_back(size, {}); }
  // Its channel was closed, see Multiplexer::close().
  void on_forgotten(std::size_t size) final { given_back(size, errc::channel_closed); }

  [[nodiscard]] std::size_t size() const noexcept { return head.size() + payload.size() + tail.size(); }
  /// Of the bytes from `at` on at most `most`, as far as they lie in one piece.
  [[nodiscard]] std::span<const std::byte> run(std::size_t at, std::size_t most) const noexcept {
    for (const auto part : {head, payload, tail}) {
      if (at < part.size()) return part.subspan(at, std::min(most, part.size() - at));
      at -= part.size();
    }
    return {};
  }

  const ItemKind kind;
  std::span<const std::byte> payload;
  const std::span<const std::byte> head, tail;  // around the payload, see EncodedItem
  bool begun = false;                           // its first frame was cut
  std::size_t cut = 0;                          // bytes that are in frames
  std::size_t borrowed = 0;                     // bytes of those that the write queue still refers to

 protected:
  ~OutItem() = default;

 private:
  void given_back(std::size_t size, boost::system::error_code result) {
    borrowed -= size;
    if (borrowed == 0 && begun && cut == this->size()) finished(result);
  }
};

/// Somebody who waits for something to arrive on a channel, or for its end; or for the start of a connection.
class ChannelWaiter {
 public:
  /// Must not throw: the end of a connection wakes everybody, also when memory has run out.
  virtual void wake() = 0;

 protected:
  ~ChannelWaiter() = default;
};

struct CallbackState;

struct ChannelState {
  explicit ChannelState(std::uint32_t number) : id(number) {}

  const std::uint32_t id;

  // How it ends.
  bool sendable = true;              // neither side closed it, the connection lives
  bool receivable = true;            // more may arrive
  bool closed = false;               // one of the sides closed it (not so when the connection was lost)
  bool closed_here = false;          // this side was the first
  bool claimed = false;              // somebody here has or had a handle
  bool execs = false;                // the channel of a task: EXEC was its first item
  std::optional<std::string> error;  // the peer's
  bool error_raised = false;         // somebody has got it

  // Receiving.
  struct Assembly {
    Bytes payload;
    std::uint64_t total = 0;
    std::uint64_t cost = 0;     // so far
    std::uint64_t granted = 0;  // of that, given back already
    ItemKind kind{};
  };
  Fifo<InItem> arrived;
  std::unique_ptr<Assembly> assembly;  // the item that is arriving
  std::uint64_t allowance = 0;         // what the peer may still send
  std::uint64_t to_grant = 0;          // taken, and not yet to be told to the peer
  std::uint64_t granted = 0;           // to be told by the next CREDIT
  std::uint64_t unclaimed = 0;         // what has cost while nobody had claimed it
  bool any_item = false;               // one has begun
  Strings strings{};                   // for what arrives from now on

  // Sending.
  Fifo<OutItem*> outgoing;
  std::uint64_t credit = 0;
  bool in_turn = false;           // it stands in the multiplexer's list of turns
  bool last_message_due = false;  // to be sent after what is in `outgoing`

  /// Bytes of items that arrived, or are arriving, and were not taken.
  [[nodiscard]] std::size_t arrived_bytes() noexcept {
    std::size_t sum = assembly ? assembly->payload.size() : 0;
    for (const InItem& item : arrived)
      sum += item.kind == ItemKind::integer ? sizeof item.integer : item.payload.size();
    return sum;
  }
  /// Bytes that wait to be sent and are not yet in frames.
  [[nodiscard]] std::size_t outgoing_bytes() noexcept {
    std::size_t sum = 0;
    for (const OutItem* const item : outgoing) sum += item->size() - item->cut;
    return sum;
  }

  // Waiting threads and operations, the first one first.
  std::vector<ChannelWaiter*> receivers;
  std::vector<ChannelWaiter*> end_waiters;
  std::weak_ptr<void> handle;  // the live ChannelHandle, if any

  std::shared_ptr<CallbackState> callback;  // gets the items, instead of receivers
};

}  // namespace gangway::detail
