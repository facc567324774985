// What the workers act upon: groups, their gateways, the channels; each with what is known
// of it and its history. Any thread.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <gangway/gangway.hpp>

#include "tests/nemesis/history.hpp"
#include "tests/nemesis/model.hpp"
#include "tests/nemesis/output_model.hpp"
#include "tests/nemesis/watch.hpp"

namespace gangway::nemesis {

/// A group, and how often it has been terminated.
struct Realm {
  std::string name;
  std::unique_ptr<Group> group = std::make_unique<Group>();
  std::atomic<unsigned> terminations = 0;
};

/// A gateway, and what has been done to it.
struct Host {
  /// Before it is started: the terminations of its group are counted from here.
  Host(std::string its_name, Realm& its_realm)
      : name(std::move(its_name)), realm(its_realm), terminations_before(its_realm.terminations) {}

  const std::string name;
  Realm& realm;
  const unsigned terminations_before;
  Gateway gateway;
  bool one_task_only = false;
  bool has_output = false;                                                      // stdout=callback
  const std::shared_ptr<OutputModel> output = std::make_shared<OutputModel>();  // the callback has it, too
  pid_t worker = 0;
  pid_t keeper = 0;
  const std::shared_ptr<History> its_history = std::make_shared<History>();  // outlives it, for what comes late
  History& history = *its_history;

  /// Set before anything is done that may end it.
  std::atomic<bool> was_harmed = false;
  std::atomic<bool> paused = false;
  std::atomic<bool> interrupted = false;  // a task of it
  /// Whether its end would be a surprise.
  [[nodiscard]] bool harmed() const { return was_harmed || realm.terminations != terminations_before; }

  void is_dead();
  [[nodiscard]] std::optional<Clock::time_point> dead_since() const;

  void add_pids(std::set<pid_t> pids);
  /// Of all processes that are to be gone with it.
  [[nodiscard]] std::set<pid_t> pids() const;

 private:
  mutable std::mutex mutex_;
  std::optional<Clock::time_point> dead_since_;
  std::set<pid_t> started_;  // by tasks
};

/// One at a time, without waiting. Not bound to a thread.
class Turn {
 public:
  Turn() = default;
  [[nodiscard]] static Turn take(std::atomic<bool>& taken) { return Turn(taken.exchange(true) ? nullptr : &taken); }
  Turn(Turn&& other) noexcept : taken_(std::exchange(other.taken_, nullptr)) {}
  Turn& operator=(Turn&& other) noexcept {
    std::swap(taken_, other.taken_);
    return *this;
  }
  ~Turn() {
    if (taken_ != nullptr) *taken_ = false;
  }
  explicit operator bool() const { return taken_ != nullptr; }

 private:
  explicit Turn(std::atomic<bool>* taken) : taken_(taken) {}
  std::atomic<bool>* taken_ = nullptr;
};

/// A channel that is used as a file, in both directions: items are pieces of lines.
struct Files {
  Files(const Channel& channel, bool is_binary) : binary(is_binary), source(channel, "r"), sink(channel, "w") {}
  const bool binary;
  ChannelFile source;
  ChannelFile sink;
};

/// A channel, and what may happen on it.
struct Conversation {
  Conversation(std::string its_name, std::shared_ptr<Host> on, Channel its_channel, ChannelModel its_model);
  /// Everybody has told what they got.
  ~Conversation();
  /// How many there are.
  static inline std::atomic<int> alive = 0;

  const std::string name;
  const std::shared_ptr<Host> host;
  const Channel channel;
  const Readers readers;
  bool answers = false;                  // the far side sends back what it gets
  std::optional<Files> files;            // and these are lines; nothing else is done with the channel then
  std::optional<Numbered> prints;        // the lane of what it prints, and how many lines
  std::array<std::uint32_t, 2> lanes{};  // of senders here
  std::array<std::atomic<bool>, 2> sending{};
  std::atomic<bool> receiving = false;
  std::atomic<bool> closed_here = false;
  std::atomic<bool> interrupted = false;
  std::atomic<bool> waitclose_returned = false;
  std::atomic<bool> setting_callback = false;  // from now on others may be refused
  std::atomic<bool> has_callback = false;      // and from now on will be
  History history;

  /// The model's verdict, and the test fails if it is bad.
  template <class Learn>
  void learn(Learn learn) {
    Verdict verdict;
    {
      const std::lock_guard lock(mutex_);
      verdict = learn(model_);
    }
    if (!verdict.empty()) violated(verdict);
  }
  template <class Ask>
  auto ask(Ask question) {
    const std::lock_guard lock(mutex_);
    return question(model_);
  }
  [[nodiscard]] bool over() {
    return ask([](ChannelModel& model) { return model.over(); });
  }
  [[nodiscard]] Circumstances circumstances() const {
    return {closed_here, host->harmed(), interrupted, host->one_task_only};
  }
  [[noreturn]] void violated(const std::string& what) const;

 private:
  std::mutex mutex_;
  ChannelModel model_;
};

/// A ReceiveQueue and the channels whose items it gets.
struct Queue {
  ReceiveQueue queue;
  std::vector<std::shared_ptr<Conversation>> talks;
  std::vector<Turn> turns = {};  // of talks, that nobody else receives
  std::atomic<bool> reading = false;
};

/// Everything of one round.
class World {
 public:
  static constexpr std::size_t most_conversations = 30;
  static constexpr std::size_t hosts_of_a_realm = 3;

  explicit World(std::uint64_t seed);

  std::vector<std::unique_ptr<Realm>> realms;
  Watch watch;
  History history;
  std::atomic<bool> stopping = false;
  // One worker at a time may wait for what may never come.
  std::atomic<bool> waits_for_ever = false;
  std::atomic<bool> sends_for_ever = false;
  std::atomic<bool> loops_for_ever = false;
  std::atomic<std::size_t> items_sent = 0;
  std::atomic<std::size_t> items_received = 0;
  std::atomic<std::uint32_t> next_number = 1;  // of lanes, and in names

  void add(const std::shared_ptr<Host>& host);
  void add(const std::shared_ptr<Conversation>& conversation);
  void remove(const std::shared_ptr<Conversation>& conversation);
  void add(const std::shared_ptr<Queue>& queue);
  void remove(const std::shared_ptr<Queue>& queue);
  [[nodiscard]] std::shared_ptr<Queue> pick_queue(std::uint32_t number) const;
  /// Those that print too, whether they are there or not.
  /// Of gateways that have an output, also when they are gone.
  struct Printed {
    std::string gateway;
    std::shared_ptr<OutputModel> model;
    std::shared_ptr<History> history;
  };
  [[nodiscard]] std::vector<Printed> outputs() const;
  [[nodiscard]] std::vector<std::shared_ptr<Host>> hosts() const;
  [[nodiscard]] std::size_t conversations() const;
  [[nodiscard]] bool is_full() const { return conversations() >= most_conversations; }
  /// Nothing when there is none.
  [[nodiscard]] std::shared_ptr<Host> pick_host(std::uint32_t number) const;
  [[nodiscard]] std::shared_ptr<Conversation> pick_conversation(std::uint32_t number) const;
  void forget_all();
  void forget_dead_hosts();

 private:
  mutable std::mutex mutex_;
  std::vector<std::shared_ptr<Host>> hosts_;
  std::vector<Printed> outputs_;
  std::vector<std::shared_ptr<Conversation>> conversations_;
  std::vector<std::shared_ptr<Queue>> queues_;
};

/// Ends the program: what is wrong, the histories, and how to see it again.
[[noreturn]] void fail(const std::string& what, const Host* host = nullptr, const Conversation* conversation = nullptr);
/// What fail() says and does beside: the round's world, the seed, and the cookie of its processes.
struct FailureContext {
  World* world = nullptr;
  std::string again;  // the command line
  std::string cookie;
};
[[nodiscard]] FailureContext& failure_context();

}  // namespace gangway::nemesis
