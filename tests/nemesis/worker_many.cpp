// What workers do with several channels at once.
#include <algorithm>

#include "tests/nemesis/worker.hpp"

namespace gangway::nemesis {

namespace {

constexpr const char* end_marker = "the end marker";  // of queues
constexpr std::size_t most_members = 4;

MultiChannel channels_of(const std::vector<std::shared_ptr<Conversation>>& talks) {
  std::vector<Channel> channels;
  for (const auto& talk : talks) channels.push_back(talk->channel);
  return MultiChannel(std::move(channels));
}

}  // namespace

// Beginning with that one. Of any gateways.
std::vector<Worker::ConversationPtr> Worker::several(const ConversationPtr& first, const Operation& operation) const {
  std::vector<ConversationPtr> talks{first};
  for (std::uint32_t i = 1; i <= operation.count % most_members; ++i) {
    auto talk = world_.pick_conversation(operation.other + i);
    if (talk && !talk->files && std::ranges::find(talks, talk) == talks.end()) talks.push_back(std::move(talk));
  }
  return talks;
}

// The item is the only one of a lane that all of them have.
void Worker::send_each(const ConversationPtr& first, const Operation& operation) {
  std::vector<ConversationPtr> talks = several(first, operation);
  std::erase_if(talks, [](const ConversationPtr& talk) { return !talk->answers; });
  const Turn for_ever = Turn::take(world_.sends_for_ever);  // it has no deadline
  if (talks.empty() || !for_ever) return;
  const Numbered which{world_.next_number++, 0};
  std::vector<bool> over;
  std::vector<Watch::Call> calls;
  for (const ConversationPtr& talk : talks) {
    over.push_back(talk->ask([&](ChannelModel& model) {
      (void)model.lane(which.lane).begin();
      return model.over() || model.is_refused();
    }));
    talk->history.note("-> send_each, lane " + std::to_string(which.lane));
    // The first that waits holds up the others, so none has a bound before they are all dead.
    if (talks.size() == 1) calls.push_back(watch("send_each", talk->host, talk, {}));
  }
  MultiChannel channels = channels_of(talks);
  const Outcome outcome = attempt([&] { channels.send_each(make_item(operation.form, which, operation.size)); });
  const bool harmed = std::ranges::any_of(talks, [](const ConversationPtr& talk) { return talk->host->harmed(); });
  for (std::size_t at = 0; at < talks.size(); ++at) {
    talks[at]->history.note("send_each: " + to_string(outcome));
    if (outcome)
      sent(*talks[at], which.lane, outcome, over[at]);
    else if (outcome.kind != Outcome::closed && (outcome.kind != Outcome::lost || !harmed))
      talks[at]->violated("send_each ended with: " + to_string(outcome));
  }
  if (outcome) world_.items_sent += talks.size();
}

void Worker::make_queue(const ConversationPtr& first, const Operation& operation) {
  std::vector<ConversationPtr> talks;
  std::vector<Turn> turns;
  for (const ConversationPtr& talk : several(first, operation)) {
    Turn turn = Turn::take(talk->receiving);
    if (!turn || talk->setting_callback.exchange(true)) continue;
    talks.push_back(talk);
    turns.push_back(std::move(turn));
  }
  if (talks.empty()) return;
  std::optional<ReceiveQueue> queue;
  const Outcome outcome = attempt([&] { queue = channels_of(talks).make_receive_queue(Value(end_marker)); });
  for (const ConversationPtr& talk : talks) {
    talk->history.note("make_receive_queue of " + std::to_string(talks.size()) + ": " + to_string(outcome));
    const bool expected = outcome.kind == Outcome::closed || outcome.kind == Outcome::lost;
    if (!outcome && !expected) talk->violated("make_receive_queue ended with: " + to_string(outcome));
  }
  if (outcome) world_.add(std::shared_ptr<Queue>(new Queue{*queue, std::move(talks), std::move(turns)}));
}

void Worker::read_queue(const Operation& operation) {
  const auto queue = world_.pick_queue(operation.pick);
  const Turn turn = queue ? Turn::take(queue->reading) : Turn();
  if (!turn) return;
  for (std::uint32_t i = 0; i < operation.count; ++i) {
    std::vector<bool> over;
    for (const ConversationPtr& talk : queue->talks) over.push_back(talk->over());
    const auto call = watch("ReceiveQueue::get", nullptr, queue->talks.front(), operation.time);
    std::pair<Channel, Value> got;
    const Outcome outcome = attempt([&] { got = queue->queue.get(operation.time); });
    if (outcome.kind == Outcome::timed_out) {
      if (std::ranges::find(over, false) == over.end())
        queue->talks.front()->violated("a queue timed out, and all of its channels had ended");
      return;
    }
    if (outcome.kind == Outcome::clean_end) {
      for (const ConversationPtr& talk : queue->talks)
        if (!talk->over()) talk->violated("a queue has ended without the end marker of this channel");
      world_.remove(queue);
      return;
    }
    if (!outcome) queue->talks.front()->violated("ReceiveQueue::get ended with: " + to_string(outcome));
    const auto found = std::ranges::find_if(queue->talks, [&](const auto& talk) { return talk->channel == got.first; });
    if (found == queue->talks.end()) queue->talks.front()->violated("a queue gave another one's channel");
    const ConversationPtr talk = *found;
    if (got.second == end_marker) {
      const std::string text = talk->channel.error_text();
      talk->history.note("queue: end marker, error: " + text);
      talk->learn([&](ChannelModel& model) { return model.end_marked(text, talk->circumstances()); });
    } else {
      took(world_, talk, got.second, over[static_cast<std::size_t>(found - queue->talks.begin())]);
    }
  }
}

}  // namespace gangway::nemesis
