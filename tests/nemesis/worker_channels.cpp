// What workers do with channels.
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <sstream>
#include <stdexcept>
#include <thread>

#include "tests/nemesis/worker.hpp"

namespace gangway::nemesis {

namespace {

using boost::system::error_code;
using ConversationPtr = std::shared_ptr<Conversation>;

std::string to_text(const Value& value) {
  std::ostringstream text;
  text << value;
  return text.str();
}

bool is_over(ChannelModel& model) { return model.over() || model.is_refused(); }

/// A lane that nobody is sending on now; nothing when there is none.
struct FreeLane {
  Turn turn;
  std::uint32_t id = 0;

  [[nodiscard]] static FreeLane of(Conversation& talk, std::uint32_t preferred) {
    for (std::size_t i = 0; i < talk.lanes.size(); ++i) {
      const std::size_t at = (preferred + i) % talk.lanes.size();
      if (Turn turn = Turn::take(talk.sending[at])) return {std::move(turn), talk.lanes[at]};
    }
    return {};
  }
};

Numbered begin(Conversation& talk, std::uint32_t lane) {
  return {lane, talk.ask([&](ChannelModel& model) { return model.lane(lane).begin(); })};
}

std::string describe(Numbered which, const Operation& operation) {
  static constexpr const char* names[] = {"int", "bytes", "str", "tuple"};
  return "item " + std::to_string(which.number) + " of lane " + std::to_string(which.lane) + " (" +
         names[static_cast<std::size_t>(operation.form)] + ", " + std::to_string(operation.size) + " parts)";
}

ChannelModel::Counts counts_of(const Value& report) {
  ChannelModel::Counts counts;
  for (const auto& [lane, count] : report.as_dict())
    counts[static_cast<std::uint32_t>(lane.as_int())] = static_cast<std::uint32_t>(count.as_int());
  return counts;
}

/// A conversation on a channel that the far side has opened to send on it.
void add_opened(World& world, const std::shared_ptr<Host>& host, const Tuple& offer) {
  ChannelModel model(Readers::one, ChannelModel::Farewell::report);
  const auto lane = static_cast<std::uint32_t>(offer[1].as_int());
  model.lane(lane).announce(static_cast<std::uint32_t>(offer[2].as_int()));
  const auto channel = value_to<Channel>(offer[3]);
  const std::string name = host->name + "/" + std::to_string(channel.id()) + " (opened by the far side)";
  world.add(std::make_shared<Conversation>(name, host, channel, std::move(model)));
}

constexpr const char* end_marker = "the end marker";  // of callbacks

/// Something that is waited for without a thread, and may be cancelled; then it is begun on
/// the executor of its handler, because a cancellation slot belongs to that.
struct Pending {
  ConversationPtr talk;  // the others refer to it
  Turn turn;
  Watch::Call call;
  boost::asio::cancellation_signal cancel = {};
  std::optional<boost::asio::steady_timer> timer = {};

  /// Cancels after that time, on the executor of the handler.
  static void cancel_later(const std::shared_ptr<Pending>& pending, boost::asio::thread_pool& handlers,
                           std::chrono::milliseconds time) {
    pending->timer.emplace(handlers, time);
    pending->timer->async_wait([pending](error_code error) {
      if (!error) pending->cancel.emit(boost::asio::cancellation_type::terminal);
    });
  }
  /// On the executor of the handler.
  void completed() {
    if (timer) timer->cancel();
  }
};

}  // namespace

void sent(Conversation& talk, std::uint32_t lane, const Outcome& outcome, bool over) {
  talk.learn([&](ChannelModel& model) -> Verdict {
    switch (outcome.kind) {
      case Outcome::done: model.lane(lane).sent(); return model.sent(over);
      case Outcome::timed_out:
        return outcome.text.find("nothing was sent") != outcome.text.npos ? model.lane(lane).withdrawn() : Verdict();
      case Outcome::cancelled: return model.lane(lane).withdrawn();
      case Outcome::lost:
        model.refused();
        return talk.host->harmed() ? Verdict() : "a send failed, and nobody harmed the gateway: " + outcome.text;
      case Outcome::closed: model.refused(); return {};
      default: return "a send ended with: " + to_string(outcome);
    }
  });
}

void ended(Conversation& talk, const Outcome& outcome, bool over, bool after_waitclose) {
  talk.learn([&](ChannelModel& model) -> Verdict {
    switch (outcome.kind) {
      case Outcome::timed_out: return model.timed_out(over, after_waitclose);
      case Outcome::cancelled: return {};
      case Outcome::has_callback:
        return talk.setting_callback ? Verdict() : "receive is refused, and the channel has no callback";
      case Outcome::clean_end: return model.ended(End::clean, outcome.text, talk.circumstances());
      case Outcome::remote_error: return model.ended(End::remote_error, outcome.text, talk.circumstances());
      case Outcome::lost: return model.ended(End::lost, outcome.text, talk.circumstances());
      default: return "a receive ended with: " + to_string(outcome);
    }
  });
}

void took(World& world, const ConversationPtr& talk, const Value& item, bool began_after_end) {
  if (const auto which = read_item(item)) {
    ++world.items_received;
    talk->history.note("<- item " + std::to_string(which->number) + " of lane " + std::to_string(which->lane));
    talk->learn([&](ChannelModel& model) { return model.item(*which, began_after_end); });
  } else if (item.is_dict() && item.as_dict().contains("report")) {
    const Value& report = item.as_dict().at("report");
    talk->history.note("<- report " + to_text(report));
    talk->learn([&](ChannelModel& model) { return model.report(counts_of(report), began_after_end); });
    if (talk->prints) talk->host->output->printed(talk->prints->lane, talk->prints->number);
  } else if (item.is_dict() && item.as_dict().contains("pids")) {
    std::set<pid_t> pids;
    for (const Value& pid : item.as_dict().at("pids").as_list()) pids.insert(static_cast<pid_t>(pid.as_int()));
    talk->host->add_pids(std::move(pids));
  } else if (item.is_tuple() && item.as_tuple().size() == 4 && item.as_tuple()[3].is_channel()) {
    talk->history.note("<- a channel");
    add_opened(world, talk->host, item.as_tuple());
  } else {
    talk->violated("a damaged item: " + to_text(item).substr(0, 200));
  }
}

// --- sending

bool Worker::send(const ConversationPtr& talk, const Operation& operation) {
  if (!talk->answers) return false;
  const auto free = FreeLane::of(*talk, operation.other);
  if (!free.turn) return false;
  const bool over = talk->ask(is_over);
  const Numbered which = begin(*talk, free.id);
  const Value item = make_item(operation.form, which, operation.size);
  std::optional<std::chrono::milliseconds> timeout = operation.time;
  Turn for_ever;
  const bool without_waiting = operation.action == Action::try_send;
  if (without_waiting) {
    timeout = std::chrono::milliseconds::zero();
  } else if (operation.time == operation.time.zero()) {
    for_ever = Turn::take(world_.sends_for_ever);
    if (for_ever) timeout.reset();
  }
  const std::string what = describe(which, operation);
  talk->history.note((without_waiting ? "try_send " : "-> ") + what +
                     (timeout ? ", " + std::to_string(timeout->count()) + " ms" : ""));
  const auto call = watch("send " + what, talk->host, talk, timeout);
  Channel channel = talk->channel;
  Outcome outcome;
  if (without_waiting) {
    bool done = false;
    outcome = attempt([&] { done = channel.try_send(item); });
    if (outcome && !done) outcome = {Outcome::timed_out, "nothing was sent"};
  } else {
    outcome = attempt([&] { channel.send(item, timeout); });
  }
  if (!outcome) talk->history.note("-> item " + std::to_string(which.number) + ": " + to_string(outcome));
  sent(*talk, free.id, outcome, over);
  if (outcome) ++world_.items_sent;
  return outcome.kind == Outcome::done;
}

void Worker::send_many(const ConversationPtr& talk, const Operation& operation) {
  Operation each = operation;
  each.size = 1 + operation.size / operation.count;
  for (std::uint32_t i = 0; i < operation.count && send(talk, each); ++i) {
  }
}

// A row of sends without waiting. Those that fail have to be the last ones of the row.
void Worker::async_send(const ConversationPtr& talk, const Operation& operation) {
  struct Row : Pending {
    std::uint32_t lane = 0;
    bool over = false;
    std::mutex mutex;
    std::uint32_t missing = 0;  // completions
    std::vector<std::optional<Outcome>> outcomes = {};

    void completed_one(std::uint32_t at, error_code error) {
      const std::lock_guard lock(mutex);
      if (outcomes[at]) talk->violated("an async_send completed twice");
      outcomes[at] = Outcome::of(error);
      if (--missing > 0) return;
      bool failed = false;
      for (const auto& outcome : outcomes) {
        if (*outcome && failed) talk->violated("an async_send came through after one that failed");
        failed = failed || !*outcome;
        if (!*outcome) talk->history.note("async_send: " + to_string(*outcome));
        sent(*talk, lane, *outcome, over);
      }
    }
  };
  if (!talk->answers) return;
  auto free = FreeLane::of(*talk, operation.other);
  if (!free.turn) return;
  const std::uint32_t count = 1 + operation.count / 4;
  const auto row = std::shared_ptr<Row>(new Row{{talk, std::move(free.turn), watch("async_send", talk->host, talk, {})},
                                                free.id,
                                                talk->ask(is_over),
                                                {},
                                                count,
                                                {}});
  row->outcomes.resize(count);
  Channel channel = talk->channel;
  for (std::uint32_t at = 0; at < count; ++at) {
    const Numbered which = begin(*talk, free.id);
    talk->history.note("async_send " + describe(which, operation));
    const Value item = make_item(operation.form, which, 1 + operation.size / count);
    const auto handler = [row, at](error_code error) { row->completed_one(at, error); };
    if (at + 1 < count || operation.pick % 2 == 0) {
      channel.async_send(item, handler);
    } else {  // only the last one can be taken back without leaving a gap
      boost::asio::post(handlers_, [this_pool = &handlers_, row, channel, item, handler, operation]() mutable {
        Pending::cancel_later(row, *this_pool, operation.time);
        channel.async_send(
            item, boost::asio::bind_executor(*this_pool, boost::asio::bind_cancellation_slot(
                                                             row->cancel.slot(), [row, handler](error_code error) {
                                                               row->completed();
                                                               handler(error);
                                                             })));
      });
    }
  }
}

// --- receiving

bool Worker::receive(const ConversationPtr& talk, std::optional<std::chrono::milliseconds> timeout) {
  Turn turn;
  if (talk->readers == Readers::one && !(turn = Turn::take(talk->receiving))) return false;
  const bool over = talk->over();
  const bool after_waitclose = talk->waitclose_returned;
  const auto call = watch("receive", talk->host, talk, timeout);
  Channel channel = talk->channel;
  Value item;
  const Outcome outcome = attempt([&] { item = channel.receive(timeout); });
  if (outcome) {
    took(world_, talk, item, over);
    return true;
  }
  if (outcome.kind != Outcome::timed_out) talk->history.note("receive: " + to_string(outcome));
  ended(*talk, outcome, over, after_waitclose);
  return false;
}

void Worker::async_receive(const ConversationPtr& talk, const Operation& operation) {
  Turn turn;
  if (talk->readers == Readers::one && !(turn = Turn::take(talk->receiving))) return;
  const bool over = talk->over();
  const auto pending =
      std::shared_ptr<Pending>(new Pending{talk, std::move(turn), watch("async_receive", talk->host, talk, {})});
  talk->history.note("async_receive");
  const auto handler = [this_world = &world_, pending, over](error_code error, const Value& item) {
    const auto& conversation = pending->talk;
    if (!error) return took(*this_world, conversation, item, over);
    const auto outcome = Outcome::of(error, error == errc::remote_error ? conversation->channel.error_text() : "");
    conversation->history.note("async_receive: " + to_string(outcome));
    ended(*conversation, outcome, over, false);
  };
  Channel channel = talk->channel;
  if (operation.pick % 4 == 0) {
    channel.async_receive(handler);
  } else {
    boost::asio::post(handlers_, [this_pool = &handlers_, pending, channel, handler, operation]() mutable {
      Pending::cancel_later(pending, *this_pool, operation.time);
      channel.async_receive(boost::asio::bind_executor(
          *this_pool, boost::asio::bind_cancellation_slot(pending->cancel.slot(),
                                                          [pending, handler](error_code error, const Value& item) {
                                                            pending->completed();
                                                            handler(error, item);
                                                          })));
    });
  }
}

bool Worker::waitclose(const ConversationPtr& talk, std::chrono::milliseconds timeout) {
  const auto call = watch("waitclose", talk->host, talk, timeout);
  Channel channel = talk->channel;
  const bool had_callback = talk->has_callback;
  const Outcome outcome = attempt([&] { channel.waitclose(timeout); });
  if (outcome.kind == Outcome::timed_out) return false;
  talk->history.note("waitclose: " + to_string(outcome));
  if (had_callback && !talk->closed_here && !talk->over()) talk->violated("waitclose returned before the end marker");
  if (outcome)
    talk->waitclose_returned = true;
  else if (outcome.kind == Outcome::remote_error)  // items may still be queued: not the end of receiving
    talk->learn([&](ChannelModel& model) { return model.error_taken(outcome.text, talk->circumstances()); });
  else if (outcome.kind != Outcome::lost || !talk->host->harmed())
    talk->violated("waitclose ended with: " + to_string(outcome));
  return true;
}

// The callback keeps the channel, until it has its end marker.
void Worker::set_callback(const ConversationPtr& talk, const Operation& operation) {
  struct Callback {
    World& world;
    ConversationPtr talk;  // the others refer to it
    Turn turn;
    Watch::Call call;
    std::chrono::milliseconds pause;
    std::uint32_t items_until_error;  // 0: there will be none
    std::atomic<bool> running = false;

    void operator()(const Value& item) {
      if (running.exchange(true)) talk->violated("two calls of a callback at a time");
      if (item == end_marker) {
        const std::string text = talk->channel.error_text();
        talk->history.note("callback: end marker, error: " + text);
        talk->learn([&](ChannelModel& model) { return model.end_marked(text, talk->circumstances()); });
      } else {
        took(world, talk, item, talk->over());
        std::this_thread::sleep_for(pause);
        if (items_until_error > 0 && --items_until_error == 0) {
          talk->history.note("callback: throws");
          talk->closed_here = true;
          running = false;
          throw std::runtime_error("thrown on purpose");
        }
      }
      running = false;
    }
  };
  Turn turn = Turn::take(talk->receiving);
  if (!turn || talk->setting_callback.exchange(true)) return;
  talk->history.note("setcallback");
  const auto call = watch("setcallback", talk->host, talk, std::chrono::milliseconds::zero());
  const auto callback = std::shared_ptr<Callback>(new Callback{
      world_, talk, std::move(turn), watch("a callback's end marker", talk->host, talk, {}),
      std::chrono::milliseconds(operation.pick % 8 == 0 ? 2 : 0), operation.other % 8 == 0 ? operation.count : 0});
  Channel channel = talk->channel;
  const Outcome outcome =
      attempt([&] { channel.setcallback([callback](const Value& item) { (*callback)(item); }, end_marker); });
  talk->history.note("setcallback: " + to_string(outcome));
  if (outcome)
    talk->has_callback = true;
  else if (!talk->closed_here && outcome.kind != Outcome::lost)
    talk->violated("setcallback ended with: " + to_string(outcome));
}

// --- channels

void Worker::stop(const ConversationPtr& talk) {
  if (!talk->answers) return;
  const auto before = talk->ask([](ChannelModel& model) { return model.known_to_be_sent(); });
  talk->history.note("-> None, which asks for the report");
  constexpr std::chrono::milliseconds timeout{200};
  const auto call = watch("send None", talk->host, talk, timeout);
  Channel channel = talk->channel;
  const Outcome outcome = attempt([&] { channel.send(nullptr, timeout); });
  if (outcome || outcome.text.find("on its way") != outcome.text.npos)
    talk->learn([&](ChannelModel& model) {
      model.stopped(before);
      return Verdict();
    });
  else
    talk->history.note("-> None: " + to_string(outcome));
  if (outcome.kind == Outcome::lost && !talk->host->harmed())
    talk->violated("a send failed, and nobody harmed the gateway: " + outcome.text);
}

void Worker::close(const ConversationPtr& talk, const Operation& operation) {
  const bool with_error = operation.action == Action::close_with_error;
  talk->closed_here = true;
  talk->history.note(with_error ? "close with an error" : "close");
  const auto call = watch("close", talk->host, talk, std::chrono::milliseconds::zero());
  Channel channel = talk->channel;
  const Outcome outcome = attempt([&] {
    if (with_error)
      channel.close("closed on purpose");
    else
      channel.close();
  });
  if (!outcome && !talk->host->harmed()) talk->violated("close ended with: " + to_string(outcome));
}

// The last copy of the handle goes when those who use it now have done with it.
void Worker::drop(const ConversationPtr& talk) {
  talk->history.note("dropped");
  talk->closed_here = true;
  world_.remove(talk);
}

void Worker::pass_channel(const ConversationPtr& talk) {
  if (!talk->answers || world_.is_full()) return;
  constexpr std::chrono::milliseconds timeout{200};
  const auto call = watch("pass a channel", talk->host, talk, timeout);
  Channel fresh;
  Channel channel = talk->channel;
  Outcome outcome = attempt([&] { fresh = talk->host->gateway.newchannel(); });
  if (outcome) outcome = attempt([&] { channel.send(fresh, timeout); });
  talk->history.note("-> channel " + (fresh ? std::to_string(fresh.id()) : "none") + ": " + to_string(outcome));
  if (outcome.kind == Outcome::lost && !talk->host->harmed())
    talk->violated("passing a channel failed, and nobody harmed the gateway: " + outcome.text);
  if (outcome) add_answering(talk->host, fresh, "passed", ChannelModel::Farewell::none, Readers::one);
}

void Worker::ask_for_channel(const ConversationPtr& talk, const Operation& operation) {
  if (!talk->answers || world_.is_full()) return;
  constexpr std::chrono::milliseconds timeout{200};
  const auto call = watch("ask for a channel", talk->host, talk, timeout);
  const Dict request{{"open", world_.next_number++},
                     {"count", operation.count},
                     {"form", static_cast<int>(operation.form)},
                     {"size", 1 + operation.size / 16}};
  Channel channel = talk->channel;
  const Outcome outcome = attempt([&] { channel.send(request, timeout); });
  talk->history.note("-> " + to_text(request) + ": " + to_string(outcome));
  if (outcome.kind == Outcome::lost && !talk->host->harmed())
    talk->violated("asking for a channel failed, and nobody harmed the gateway: " + outcome.text);
}

void Worker::interrupt(const ConversationPtr& talk, const Operation& operation) {
  talk->interrupted = talk->host->interrupted = true;
  talk->history.note("interrupt");
  const auto call = watch("interrupt", talk->host, talk, operation.time);
  Channel channel = talk->channel;
  bool over = false;
  const Outcome outcome = attempt([&] { over = channel.interrupt(operation.time); });
  talk->history.note("interrupt: " + to_string(outcome) + (over ? ", the task is over" : ""));
  if (!outcome && !talk->host->harmed() && !talk->closed_here)
    talk->violated("interrupt ended with: " + to_string(outcome));
  if (over && !talk->setting_callback && !waitclose(talk, std::chrono::milliseconds::zero()))
    talk->violated("interrupt said that the task is over, and waitclose waits");
}

void Worker::add_answering(const HostPtr& host, const Channel& channel, const std::string& what,
                           ChannelModel::Farewell farewell, Readers readers) {
  ChannelModel model(readers, farewell);
  std::array<std::uint32_t, 2> lanes{};
  for (std::uint32_t& lane : lanes) {
    lane = world_.next_number++;
    (void)model.lane(lane);
  }
  const auto talk = std::make_shared<Conversation>(host->name + "/" + std::to_string(channel.id()) + " (" + what + ")",
                                                   host, channel, std::move(model));
  talk->answers = true;
  talk->lanes = lanes;
  world_.add(talk);
}

}  // namespace gangway::nemesis
