// A connection: a multiplexer, the byte stream under it, and everybody who waits on it.
//
// This is the shell around the state machine: it moves bytes and wakes waiters. One mutex
// guards the machine and everything reachable from it; no member holds it while waiting,
// and no user code runs under it. A write is tried at once from the caller's thread; what
// does not fit goes out from the thread that leads the runtime.
//
// Thread rule: every member may be called from any thread, the virtual functions of Owner
// are called on the leading thread.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include <boost/system/error_code.hpp>
#include <gangway/error.hpp>
#include <gangway/value.hpp>

#include "channels/channel_callback.hpp"
#include "channels/multiplexer.hpp"
#include "channels/preamble.hpp"
#include "channels/write_pace.hpp"
#include "core/byte_stream.hpp"
#include "core/callback_thread.hpp"
#include "core/fork_guard.hpp"
#include "core/runtime.hpp"

namespace gangway::detail {

/// Why a connection is over.
struct ConnectionEnd {
  boost::system::error_code code;
  std::string text;
  DeathRecord death;
};

/// Channels are ChannelRefs whose object is the handle; see channel.cpp.
class ChannelHandle;

class Connection final : public std::enable_shared_from_this<Connection>,
                         public Runtime::Flusher,
                         public ChannelTable,
                         private Multiplexer::Events {
 public:
  using ChannelPtr = Multiplexer::ChannelPtr;

  /// What the two sides do differently. Called with the connection's mutex held, unless
  /// stated otherwise; must neither block nor call the connection back.
  class Owner {
   public:
    virtual ~Owner() = default;
    /// The peer's HELLO; a text returned is a reason to end the connection.
    [[nodiscard]] virtual std::optional<std::string> on_hello(const Value& hello) = 0;
    /// The controller's: the zlib stream of a part (wire.md, section 8), if there is one of
    /// this name. Each goes out once: when the agent asks, or ahead of a frame that needs it.
    [[nodiscard]] virtual std::optional<Bytes> on_need(std::string_view) { return {}; }
    /// The agent's: a part has come.
    virtual void on_part(std::string_view, std::span<const std::byte>) {}
    /// The agent's: answered by reply_stacks(), later and from any thread.
    virtual void on_stacks(std::uint64_t) {}
    virtual void on_exec(const ChannelPtr&, Bytes) {}
    /// By id: the task may outlive its channel.
    virtual void on_interrupt(std::uint32_t) {}
    virtual void on_terminate() {}
    virtual void on_pong() {}
    /// A STATUS request: its answer, a dict; none: reply_status() follows.
    [[nodiscard]] virtual std::optional<Value> on_status([[maybe_unused]] std::uint64_t number,
                                                         [[maybe_unused]] std::size_t live_channels) {
      return Value(Dict{});
    }
    /// The stream has ended; called once, without the mutex. The owner finds out what is to
    /// be known and calls finish(), soon. What it throws ends the connection at once.
    virtual void on_stream_end(ConnectionEnd end) = 0;
    virtual void on_finished() {}
  };

  Connection(std::shared_ptr<Runtime> runtime, std::unique_ptr<ByteStream> stream,
             const Multiplexer::Settings& settings);
  ~Connection();

  /// Starts reading. `nonce`: the stream begins with noise and its marker; `bootstrap` goes
  /// out before everything else, then HELLO. `received`: what was read from the stream before,
  /// without a marker. The owner must outlive on_finished().
  void start(std::weak_ptr<Owner> owner, std::optional<Nonce> nonce, Bytes bootstrap, const Value& hello,
             Bytes received = {});

  [[nodiscard]] const std::shared_ptr<Runtime>& runtime() const noexcept { return runtime_; }
  /// Where this connection's user code runs.
  [[nodiscard]] std::shared_ptr<CallbackThread> callbacks();

  // --- channels

  /// Throws ConnectionLost, Error (too_many_channels).
  [[nodiscard]] ChannelPtr open_channel();
  /// The peer's max_item, once known.
  void set_peer_max_item(std::uint64_t size) noexcept { peer_max_item_ = size; }
  [[nodiscard]] std::uint64_t peer_max_item() const noexcept { return peer_max_item_; }
  /// Whether the peer reads arrays (items.md), once known; until then it is assumed.
  void set_peer_arrays(bool arrays) noexcept { peer_arrays_ = arrays; }
  [[nodiscard]] bool peer_arrays() const noexcept { return peer_arrays_; }

  /// Sends, if that needs no waiting: the item was small and the stream is free. Throws as send.
  [[nodiscard]] bool try_send(const ChannelPtr& channel, const EncodedItem& item);
  /// Returns when the payload is not needed any more. Throws ChannelClosed, ConnectionLost,
  /// DumpError (item_too_large), TimeoutError: nothing was sent then, or, when the text says
  /// so, the item is still on its way.
  void send(const ChannelPtr& channel, const EncodedItem& item, Deadline deadline = {});
  /// The same for later: `done` is called on the leading thread or this one, with the mutex held.
  class DetachedSend;
  using PendingSend = std::weak_ptr<DetachedSend>;
  PendingSend send_later(const ChannelPtr& channel, ItemKind kind, Bytes payload,
                         std::function<void(boost::system::error_code)> done);
  /// The same without a copy: the payload must stay until `done` is called, or until the send
  /// was taken back.
  PendingSend send_later(const ChannelPtr& channel, const EncodedItem& item,
                         std::function<void(boost::system::error_code)> done);
  /// Takes a send back, if nothing of it has gone out: then `done` will not be called.
  bool withdraw(const ChannelPtr& channel, const PendingSend& send);

  /// The next item, if there is one now. Throws as receive.
  [[nodiscard]] std::optional<InItem> try_receive(ChannelState& channel);
  /// Throws RemoteError (once), EndOfChannel, ConnectionLost, TimeoutError.
  [[nodiscard]] InItem receive(const ChannelPtr& channel, Deadline deadline = {});
  /// The same, also ended by `waiter` being notified by somebody else, or by another
  /// receiver having been faster: nothing then.
  [[nodiscard]] std::optional<InItem> receive(const ChannelPtr& channel, Waiter& waiter, Deadline deadline);

  /// Until nothing more will arrive. Throws RemoteError (once), ConnectionLost, TimeoutError.
  void wait_end(const ChannelPtr& channel, Deadline deadline = {});
  /// The same, also ended by `waiter` being notified by somebody else: false then.
  [[nodiscard]] bool wait_end(const ChannelPtr& channel, Waiter& waiter, Deadline deadline);
  [[nodiscard]] bool try_wait_end(ChannelState& channel);
  /// What wait_end would throw, if nothing more will arrive: also while a callback is still being
  /// told of the end. Throws RemoteError (once), ConnectionLost.
  void throw_pending_error(ChannelState& channel);

  /// From now on `callback` gets what arrives, on the gateway's callback thread, one call at
  /// a time and in the order of arrival over all channels with callbacks. What is queued now,
  /// and the end if the channel has ended, is handed over by this thread before it returns;
  /// what the callback throws meanwhile is thrown here, and the channel has no callback then.
  /// It stays until the channel ends, whether or not there is a handle. Throws Error
  /// (has_callback).
  void set_callback(const ChannelPtr& channel, std::shared_ptr<ChannelCallback> callback);

  /// From now on the items of the channel are for `sink`, which is told when one is there,
  /// and are taken by take(). Otherwise as set_callback.
  void set_sink(const ChannelPtr& channel, std::shared_ptr<ArrivalSink> sink);
  void remove_sink(const ChannelPtr& channel);
  [[nodiscard]] std::optional<InItem> take(ChannelState& channel);

  void close(const ChannelPtr& channel, std::optional<std::string_view> error = {});
  /// The last handle is gone: closes the channel, unless there is a new one. With a callback
  /// that waits for more, the peer is only told that nothing more will be sent.
  void release(const ChannelPtr& channel) noexcept;
  [[nodiscard]] bool is_closed(const ChannelState& channel);
  /// Of the error that ended the channel.
  [[nodiscard]] std::string error_text(const ChannelState& channel);
  void interrupt(const ChannelPtr& channel);
  /// Until the peer has closed the channel, or the connection has ended. False: not in time,
  /// or this side has closed it.
  [[nodiscard]] bool wait_over(const ChannelPtr& channel, Deadline deadline);
  /// How what arrives on the channel from now on is decoded, here and at the peer: see
  /// InItem::strings.
  void reconfigure(const ChannelPtr& channel, StringOptions options);
  /// The same for channels that are opened later. The controller's.
  void reconfigure(StringOptions options);

  /// Asynchronous waits: `waiter.wake()` is called with the mutex held, once, when an item
  /// (the end) has come; at once when it is there already.
  void add_receiver(const ChannelPtr& channel, ChannelWaiter& waiter);
  void add_end_waiter(const ChannelPtr& channel, ChannelWaiter& waiter);
  /// True when it was still waiting.
  bool remove_waiter(const ChannelPtr& channel, ChannelWaiter& waiter);
  /// A receiver that was woken takes nothing: what woke it is for the next one.
  void pass_on(const ChannelPtr& channel);

  /// ChannelTable: for items that refer to channels.
  std::uint32_t id_of(const ChannelRef& channel) override;
  ChannelRef channel(std::uint32_t id) override;
  /// The handle of a channel, made when there is none.
  [[nodiscard]] std::shared_ptr<ChannelHandle> handle_of(const ChannelPtr& channel);

  // --- the connection

  /// Round trips of the connection itself. Throw ConnectionLost, TimeoutError.
  [[nodiscard]] Value status(Deadline deadline);
  void ping(Deadline deadline);
  void reply_status(std::uint64_t number, const Value& answer);
  /// What the threads of the agent are doing, as text.
  [[nodiscard]] std::string stacks(Deadline deadline);
  void reply_stacks(std::uint64_t number, std::string_view text);
  /// Source for the agent, as a zlib stream, unasked; one that was sent before is not sent
  /// again. Throws DumpError (item_too_large).
  void send_part(std::string_view name, std::span<const std::byte> zlib);
  /// The agent's: asks for one.
  void need_part(std::string_view name);
  /// Without waiting: Owner::on_pong tells of the answer.
  void send_ping();
  void send_terminate();

  /// True once HELLO has arrived; throws what ended the connection before. False: timed out.
  [[nodiscard]] bool wait_ready(Deadline deadline);
  /// An asynchronous wait for the same: as for channels. False: it is not waiting any more.
  void add_ready_waiter(ChannelWaiter& waiter);
  bool remove_ready_waiter(ChannelWaiter& waiter);
  [[nodiscard]] bool wait_finished(Deadline deadline);
  [[nodiscard]] bool ready();
  [[nodiscard]] bool finished();
  /// How the connection has ended, in words; none while it lives.
  [[nodiscard]] std::optional<std::string> end_text();
  [[nodiscard]] std::size_t live_channels();
  /// Of the channels with bytes that wait: id to (arrived and not taken, to be sent). At most `most`.
  [[nodiscard]] Dict queued(std::size_t most);
  [[nodiscard]] std::string noise();

  /// Ends the connection: every waiter gets `end`, later calls too. The first call counts.
  void finish(ConnectionEnd end);
  /// Writes what is waiting as far as that is possible now.
  void flush() override;
  /// The same; true when nothing is left, or nothing can be written any more.
  [[nodiscard]] bool drained();

 private:
  PendingSend send_detached(const ChannelPtr& channel, std::shared_ptr<DetachedSend> send);
  struct Request;  // a ping, a status or stacks under way
  class BlockingSend;
  class CallbackJob;

  std::optional<std::string> on_hello(std::span<const std::byte> pickle) override;
  void on_item(const ChannelPtr& channel) override;
  void on_end(const ChannelPtr& channel) override;
  void on_exec(const ChannelPtr& channel, Bytes request) override;
  void on_interrupt(std::uint32_t channel) override;
  void on_terminate() override;
  void on_pong(std::uint64_t cookie) override;
  void on_status(std::uint64_t number) override;
  void on_status_reply(std::uint64_t number, std::span<const std::byte> pickle) override;
  void on_stacks(std::uint64_t number) override;
  void on_stacks_reply(std::uint64_t number, std::string_view text) override;
  void on_part(std::string_view name, std::span<const std::byte> zlib) override;
  void on_need(std::string_view name) override;

  void wait_readable();
  void on_readable(boost::system::error_code error);
  [[nodiscard]] bool read_some(boost::system::error_code& error, std::string& failure);
  [[nodiscard]] std::size_t read_preamble(boost::system::error_code& error, std::string& failure);
  void stream_ended(std::unique_lock<std::mutex>& lock, boost::system::error_code code, std::string text) noexcept;

  void write_out() noexcept;
  void write_some();
  void fail_writing(boost::system::error_code error) noexcept;
  void output_added();
  void wait_writable();
  void limit_backlog() noexcept;

  void on_write_failed(boost::system::error_code error);
  [[nodiscard]] Bytes request(ControlKind kind, void (Multiplexer::*ask)(std::uint64_t), Deadline deadline);
  void answered(ControlKind kind, std::uint64_t number, Bytes answer);
  void wake_requests();
  void send_part_once(std::string_view name, std::span<const std::byte> zlib);
  void about_to_wait() noexcept;
  [[nodiscard]] bool wait_for(std::unique_lock<std::mutex>& lock, Waiter& waiter, Deadline deadline) noexcept;
  [[nodiscard]] bool wait_state(const bool& reached, Deadline deadline);
  void wake_state_waiters();
  void check_process() const;
  static void check_may_wait();
  [[noreturn]] void throw_end() const;
  void check_sendable(const ChannelState& channel, std::size_t payload) const;
  void after_take();
  [[nodiscard]] static bool ended(const ChannelState& channel);
  [[nodiscard]] bool ended_here(const ChannelState& channel) const;
  void wake_end_waiters(ChannelState& channel);

  void hand_over(std::unique_lock<std::mutex>& lock, const ChannelPtr& channel, ChannelCallback& callback,
                 bool has_ended);
  void take_back(ChannelState& channel);
  void tell_item(const ChannelPtr& channel);
  void tell_end(const ChannelPtr& channel);
  void run_callbacks();
  void run_turn(std::unique_lock<std::mutex>& lock, const CallbackTurn& turn);
  void callback_failed(const ChannelPtr& channel, const std::string& text);
  void post_callbacks() noexcept;
  [[nodiscard]] bool on_callback_thread() const noexcept;
  void throw_pending(ChannelState& channel) const;
  [[nodiscard]] std::optional<InItem> take_or_throw(ChannelState& channel);
  [[nodiscard]] bool ended_or_throw(ChannelState& channel);

  const std::shared_ptr<Runtime> runtime_;
  const std::unique_ptr<ByteStream> stream_;
  const ForkGuard fork_;

  std::mutex mutex_;  // guards everything below
  Multiplexer machine_;
  std::weak_ptr<Owner> owner_;
  std::optional<Preamble> preamble_;
  std::string noise_;
  std::uint64_t peer_max_item_ = limits::item;
  std::atomic<bool> peer_arrays_{true};

  bool reading_ = false;  // a wait for readability is out
  bool writing_ = false;  // a wait for writability is out
  WritePace pace_;
  bool flush_pending_ = false;  // the stand-by was asked to flush
  int direct_writes_ = 0;       // how many sends may still go out at once, one write each
  Clock::time_point direct_writes_since_;
  bool stream_over_ = false;
  bool write_failed_ = false;
  bool ready_ = false;
  bool finished_ = false;
  std::optional<ConnectionEnd> end_;
  std::shared_ptr<CallbackThread> callbacks_;
  CallbackQueue callback_queue_;
  std::shared_ptr<CallbackThread::Job> callback_job_;  // from the first callback on
  bool callbacks_posted_ = false;                      // the job is queued, or runs

  std::uint64_t next_request_ = 1;  // 0 is send_ping's
  std::unordered_map<std::uint64_t, Request*> requests_;
  std::vector<std::string> parts_;      // names of those that were sent
  std::vector<Waiter*> state_waiters_;  // wait_ready, wait_finished
  std::vector<ChannelWaiter*> ready_waiters_;
};

}  // namespace gangway::detail
