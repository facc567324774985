#include "tests/nemesis/world.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>

#include "tests/support/survivors.hpp"

namespace gangway::nemesis {

void Host::is_dead() {
  const std::lock_guard lock(mutex_);
  if (!dead_since_) dead_since_ = Clock::now();
}

std::optional<Clock::time_point> Host::dead_since() const {
  const std::lock_guard lock(mutex_);
  return dead_since_;
}

void Host::add_pids(std::set<pid_t> pids) {
  const std::lock_guard lock(mutex_);
  started_.merge(pids);
}

std::set<pid_t> Host::pids() const {
  const std::lock_guard lock(mutex_);
  std::set<pid_t> all = started_;
  all.insert({worker, keeper});
  return all;
}

Conversation::Conversation(std::string its_name, std::shared_ptr<Host> on, Channel its_channel, ChannelModel its_model)
    : name(std::move(its_name)),
      host(std::move(on)),
      channel(std::move(its_channel)),
      readers(its_model.readers()),
      model_(std::move(its_model)) {
  ++alive;
}

Conversation::~Conversation() {
  learn([](ChannelModel& model) { return model.settled(); });
  --alive;
}

void Conversation::violated(const std::string& what) const { fail(name + ": " + what, host.get(), this); }

World::World(std::uint64_t seed) {
  for (const char* const name : {"group A", "group B"}) {
    realms.push_back(std::make_unique<Realm>());
    realms.back()->name = name;
  }
  history.note("seed " + std::to_string(seed));
}

void World::add(const std::shared_ptr<Host>& host) {
  const std::lock_guard lock(mutex_);
  hosts_.push_back(host);
  if (host->has_output) outputs_.push_back({host->name, host->output, host->its_history});
}

void World::add(const std::shared_ptr<Conversation>& conversation) {
  const std::lock_guard lock(mutex_);
  conversations_.push_back(conversation);
}

void World::remove(const std::shared_ptr<Conversation>& conversation) {
  const std::lock_guard lock(mutex_);
  std::erase(conversations_, conversation);
}

void World::add(const std::shared_ptr<Queue>& queue) {
  const std::lock_guard lock(mutex_);
  queues_.push_back(queue);
}

void World::remove(const std::shared_ptr<Queue>& queue) {
  const std::lock_guard lock(mutex_);
  std::erase(queues_, queue);
}

std::shared_ptr<Queue> World::pick_queue(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  return queues_.empty() ? nullptr : queues_[number % queues_.size()];
}

std::vector<World::Printed> World::outputs() const {
  const std::lock_guard lock(mutex_);
  return outputs_;
}

std::vector<std::shared_ptr<Host>> World::hosts() const {
  const std::lock_guard lock(mutex_);
  return hosts_;
}

std::size_t World::conversations() const {
  const std::lock_guard lock(mutex_);
  return conversations_.size();
}

std::shared_ptr<Host> World::pick_host(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  return hosts_.empty() ? nullptr : hosts_[number % hosts_.size()];
}

std::shared_ptr<Conversation> World::pick_conversation(std::uint32_t number) const {
  const std::lock_guard lock(mutex_);
  return conversations_.empty() ? nullptr : conversations_[number % conversations_.size()];
}

void World::forget_dead_hosts() {
  std::vector<std::shared_ptr<Host>> forgotten;  // let go without the lock
  const std::lock_guard lock(mutex_);
  const auto dead = std::stable_partition(
      hosts_.begin(), hosts_.end(), [](const auto& host) { return !host->gateway || host->gateway.hasreceiver(); });
  forgotten.assign(dead, hosts_.end());
  hosts_.erase(dead, hosts_.end());
}

void World::forget_all() {
  std::vector<std::shared_ptr<Conversation>> conversations;
  std::vector<std::shared_ptr<Host>> hosts;
  std::vector<std::shared_ptr<Queue>> queues;
  const std::lock_guard lock(mutex_);
  queues.swap(queues_);
  conversations.swap(conversations_);
  hosts.swap(hosts_);
}

FailureContext& failure_context() {
  static FailureContext context;
  return context;
}

void fail(const std::string& what, const Host* host, const Conversation* conversation) {
  static std::mutex once;
  once.lock();  // for ever: the first failure ends the program
  const FailureContext& context = failure_context();
  std::cout << "\nFAILED: " << what << "\n";
  if (conversation != nullptr) {
    std::cout << "\nThe channel " << conversation->name << ":\n";
    conversation->history.print(std::cout);
  }
  if (host != nullptr) {
    std::cout << "\nThe gateway " << host->name << " (" << (host->harmed() ? "harmed" : "not harmed") << "):\n";
    host->history.print(std::cout);
  }
  if (context.world != nullptr) {
    std::cout << "\nAll:\n";
    context.world->history.print(std::cout);
  }
  std::cout << "\nFAILED: " << what << "\nagain: " << context.again << std::endl;
  test::kill_survivors(context.cookie);
  std::_Exit(1);
}

}  // namespace gangway::nemesis
