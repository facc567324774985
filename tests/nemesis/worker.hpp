// Does what a Generator says to a World, and tells the models what came of it. One thread each.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/thread_pool.hpp>

#include "tests/nemesis/operation.hpp"
#include "tests/nemesis/outcome.hpp"
#include "tests/nemesis/world.hpp"

namespace gangway::nemesis {

class Worker {
 public:
  /// `handlers`: where those asynchronous operations complete that are cancelled.
  Worker(World& world, std::uint64_t seed, std::string name, boost::asio::thread_pool& handlers)
      : world_(world), generator_(seed), name_(std::move(name)), handlers_(handlers) {}

  /// Until the world stops.
  void run();
  /// One gateway more, if it needs one; for the beginning too.
  void start(const Operation& operation);
  /// In time, and nobody is left; for the end too.
  void terminate(Realm& realm, std::chrono::milliseconds timeout);
  [[nodiscard]] std::size_t operations() const { return operations_; }

 private:
  using ConversationPtr = std::shared_ptr<Conversation>;
  using HostPtr = std::shared_ptr<Host>;

  void perform(const Operation& operation);
  void act_on(const ConversationPtr& talk, const Operation& operation);
  void act_on(const HostPtr& host, const Operation& operation);

  // Items.
  bool send(const ConversationPtr& talk, const Operation& operation);
  void send_many(const ConversationPtr& talk, const Operation& operation);
  void async_send(const ConversationPtr& talk, const Operation& operation);
  bool receive(const ConversationPtr& talk, std::optional<std::chrono::milliseconds> timeout);
  void async_receive(const ConversationPtr& talk, const Operation& operation);
  bool waitclose(const ConversationPtr& talk, std::chrono::milliseconds timeout);  // false: timed out
  void set_callback(const ConversationPtr& talk, const Operation& operation);

  // Files.
  void act_on_files(const ConversationPtr& talk, const Operation& operation);
  bool write_line(const ConversationPtr& talk, const Operation& operation);
  bool read_line(const ConversationPtr& talk);
  void stop_lines(const ConversationPtr& talk);

  // Several channels.
  [[nodiscard]] std::vector<ConversationPtr> several(const ConversationPtr& first, const Operation& operation) const;
  void send_each(const ConversationPtr& first, const Operation& operation);
  void make_queue(const ConversationPtr& first, const Operation& operation);
  void read_queue(const Operation& operation);

  // Channels.
  void stop(const ConversationPtr& talk);
  void close(const ConversationPtr& talk, const Operation& operation);
  void drop(const ConversationPtr& talk);
  void pass_channel(const ConversationPtr& talk);
  void ask_for_channel(const ConversationPtr& talk, const Operation& operation);

  void interrupt(const ConversationPtr& talk, const Operation& operation);
  void add_answering(const HostPtr& host, const Channel& channel, const std::string& what,
                     ChannelModel::Farewell farewell, Readers readers);

  // Gateways.
  void check_output(const HostPtr& host);
  void execute(const HostPtr& host, const Operation& operation);
  void ask(const HostPtr& host, const Operation& operation);
  void end(const HostPtr& host, const Operation& operation);
  void harm(const HostPtr& host, const Operation& operation);
  void terminate(const Operation& operation);

  /// Watched, and noted with how it went. What it throws is either expected or ends the test.
  [[nodiscard]] Watch::Call watch(std::string what, HostPtr host, ConversationPtr talk,
                                  std::optional<std::chrono::milliseconds> timeout);

  World& world_;
  Generator generator_;
  const std::string name_;
  std::size_t operations_ = 0;
  boost::asio::thread_pool& handlers_;
};

/// What arrived on a channel, told to its model; channels that were sent become conversations.
void took(World& world, const std::shared_ptr<Conversation>& talk, const Value& item, bool began_after_end);
/// How a send ended, to the model. `over`: whether the end was known when it began.
void sent(Conversation& talk, std::uint32_t lane, const Outcome& outcome, bool over);
/// How a receive or waitclose ended, other than well, to the model.
void ended(Conversation& talk, const Outcome& outcome, bool over, bool after_waitclose);

}  // namespace gangway::nemesis
