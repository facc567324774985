// Channel: one typed, bidirectional line to code that runs on the far side of a gateway.
//
// A handle: copies refer to the same channel, and dropping the last one closes it. Safe
// to use from any thread; several threads may send to and receive from one channel, each
// item goes to one receiver. Items arrive in the order in which they were sent.
//
// Errors: the blocking calls throw (gangway/error.hpp):
//   RemoteError     the task failed, or the peer closed with an error; thrown once
//   EndOfChannel    nothing more will arrive
//   ChannelClosed   send on a closed channel
//   ConnectionLost  the agent is gone; what() and death() say how
//   TimeoutError    the given time passed; the channel stays usable
// The async_* operations complete with the error_code of the same; error_text() has the
// text. They complete on the handler's executor, by default on the gateway's callback
// thread (where what a handler throws goes to the trace; elsewhere it propagates from the
// context's run()), never inside the initiating call. The executor's context must outlive the
// operation; it counts as work there. Cancellation (asio's, any type) takes effect while
// the operation waits: nothing was received, or nothing of the item was sent; it has no
// effect after.
#pragma once

#include <boost/asio/any_completion_handler.hpp>
#include <boost/asio/async_result.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <gangway/convert.hpp>
#include <gangway/value.hpp>

namespace gangway {

class ChannelFile;

namespace detail {
class ArrivalQueue;
class ChannelHandle;
enum class ItemKind : std::uint8_t;
}  // namespace detail

class Channel {
 public:
  using Timeout = std::chrono::nanoseconds;

  Channel() noexcept = default;

  [[nodiscard]] std::uint32_t id() const;
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

  /// Sends one item. Returns when it is on its way, without waiting for the peer, unless
  /// the peer's window is full. With a timeout: TimeoutError, and nothing was sent, or,
  /// when the text says so, the item is still on its way. Throws DumpError for what cannot
  /// be an item; the channel is unharmed then.
  template <class T>
  void send(const T& item, std::optional<Timeout> timeout = {}) {
    if constexpr (std::same_as<T, Value>)
      send_value(item, timeout);
    else if constexpr (std::same_as<T, Bytes>)
      send_bytes(item, timeout);
    else
      send_value(value_from(item), timeout);
  }
  /// A bytes item, not copied on the way.
  void send_bytes(std::span<const std::byte> item, std::optional<Timeout> timeout = {});

  /// Sends only if that needs no waiting: false when the peer's window has no room for the
  /// item or earlier output is still on its way; nothing was sent then. Throws as send.
  /// One of more than 64 KiB goes on its own: close() drops what of it the stream has not taken.
  template <class T>
  [[nodiscard]] bool try_send(const T& item) {
    if constexpr (std::same_as<T, Value>)
      return try_send_value(item);
    else
      return try_send_value(value_from(item));
  }

  /// The next item. A timeout of 0 polls.
  [[nodiscard]] Value receive(std::optional<Timeout> timeout = {});
  /// The same converted; Error (bad_cast) when it does not fit, and the item is lost then.
  template <class T>
  [[nodiscard]] T receive(std::optional<Timeout> timeout = {}) {
    return value_to<T>(receive(timeout));
  }

  /// for (Value item : channel): the items until the end of the channel. RemoteError and
  /// ConnectionLost are thrown, as by receive.
  class Iterator;
  [[nodiscard]] Iterator begin();
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  /// Returns when nothing more can arrive (items may still be queued). Throws RemoteError
  /// once, ConnectionLost, TimeoutError.
  void waitclose(std::optional<Timeout> timeout = {});

  /// From now on `callback` is called with what arrives, instead of receive(); with an end
  /// marker also once, last, with that, however the channel ends (error_text() tells of its
  /// error then). What is queued already, and the end marker if the channel has ended, is
  /// handed over by this thread before this returns: what the callback throws meanwhile is
  /// thrown here, and the channel has no callback then. Later it is called on the gateway's
  /// callback thread, one call at a time, in the order of arrival over all channels of the
  /// gateway that have callbacks: one that blocks holds up those, and nothing else, until
  /// the peer's window is full. What it throws closes the channel, with its text as the
  /// error at both sides.
  ///
  /// It stays until the channel ends: dropping the last handle of an open channel tells the
  /// peer that nothing more will be sent. waitclose() elsewhere returns after the call with
  /// the end marker. In the callback everything may be called, but waitclose() on its own
  /// channel (would_deadlock). Error (has_callback) when there is one already, and from
  /// receive() from now on.
  void setcallback(std::function<void(Value)> callback);
  void setcallback(std::function<void(Value)> callback, Value endmarker);

  /// Raises KeyboardInterrupt in the channel's task. With a timeout waits, and tells whether
  /// the task was over in time: not so when it caught the exception, or runs code that
  /// cannot be interrupted; nor when this side had closed the channel, which then tells
  /// nothing of the task. The task's error stays for receive and waitclose.
  bool interrupt(std::optional<Timeout> timeout = {});

  /// How items that arrive from now on are decoded, here and at the peer: with
  /// py3str_as_py2str a str becomes Bytes, its UTF-8, wherever in an item it stands. Items
  /// have no Python 2 strings; the first option is for peers that do.
  void reconfigure(bool py2str_as_py3str = true, bool py3str_as_py2str = false);

  /// This channel as a file: see gangway/channel_file.hpp. "w" or "r"; Error (bad_argument).
  [[nodiscard]] ChannelFile makefile(std::string_view mode = "w", bool proxyclose = false) const;

  /// Tells the peer; with an error text the peer's next receive raises it. Idempotent.
  void close();
  void close(std::string_view error);
  /// True once either side has closed it; false when the connection was lost.
  [[nodiscard]] bool isclosed() const;

  /// The text of the error that ended the channel, "" when there is none.
  [[nodiscard]] std::string error_text() const;

  /// void(error_code, Value)
  template <class CompletionToken>
  auto async_receive(CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code, Value)>(
        [channel = *this](auto handler) mutable { channel.start_receive(std::move(handler)); }, token);
  }
  /// void(error_code). The value is encoded before this returns; DumpError is thrown here.
  template <class CompletionToken>
  auto async_send(const Value& item, CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code)>(
        [channel = *this](auto handler, Encoded encoded) mutable {
          channel.start_send(std::move(encoded), std::move(handler));
        },
        token, encode(item));
  }
  /// void(error_code): success when nothing more will arrive.
  template <class CompletionToken>
  auto async_waitclose(CompletionToken&& token) {
    return boost::asio::async_initiate<CompletionToken, void(boost::system::error_code)>(
        [channel = *this](auto handler) mutable { channel.start_waitclose(std::move(handler)); }, token);
  }

  /// <Channel id=1 open>
  friend std::ostream& operator<<(std::ostream& out, const Channel& channel);
  friend bool operator==(const Channel& a, const Channel& b) noexcept { return a.handle_ == b.handle_; }

  /// A channel may be (part of) an item of its own gateway.
  friend void gangway_value_from(Value& out, const Channel& channel);
  friend Channel gangway_value_to(std::type_identity<Channel>, const Value& value);

 private:
  friend class Gateway;
  friend class detail::ArrivalQueue;
  explicit Channel(std::shared_ptr<detail::ChannelHandle> handle) noexcept : handle_(std::move(handle)) {}

  using ReceiveHandler = boost::asio::any_completion_handler<void(boost::system::error_code, Value)>;
  using EndHandler = boost::asio::any_completion_handler<void(boost::system::error_code)>;
  struct Encoded {
    detail::ItemKind kind;
    Bytes payload;
  };

  void set_callback(std::function<void(Value)> callback, std::optional<Value> endmarker);
  void send_value(const Value& item, std::optional<Timeout> timeout);
  [[nodiscard]] bool try_send_value(const Value& item);
  [[nodiscard]] Encoded encode(const Value& item) const;
  void start_receive(ReceiveHandler handler);
  void start_send(Encoded item, EndHandler handler);
  void start_waitclose(EndHandler handler);
  [[nodiscard]] detail::ChannelHandle& handle() const;

  std::shared_ptr<detail::ChannelHandle> handle_;
};

class Channel::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = Value;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(Channel channel) : channel_(std::move(channel)) { ++*this; }
  Value& operator*() const noexcept { return item_; }
  Iterator& operator++();
  void operator++(int) { ++*this; }
  friend bool operator==(const Iterator& at, std::default_sentinel_t) noexcept { return at.ended_; }

 private:
  Channel channel_;
  mutable Value item_;
  bool ended_ = false;
};

inline Channel::Iterator Channel::begin() { return Iterator(*this); }

}  // namespace gangway
