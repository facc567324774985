#include "gateways/ssh_host.hpp"

#include <algorithm>
#include <utility>

#include "gateways/ssh_link.hpp"

namespace gangway::detail {

SshHost::SshHost(std::shared_ptr<Runtime> runtime, SshSettings settings, SshAskpass askpass,
                 std::shared_ptr<SshHost> jump)
    : runtime_(std::move(runtime)),
      settings_(std::move(settings)),
      jump_(std::move(jump)),
      askpass_(std::move(askpass)) {}

void SshHost::set_askpass(SshAskpass askpass) {
  const std::lock_guard lock(mutex_);
  askpass_ = std::move(askpass);
}

std::shared_ptr<SshChannel> SshHost::open(SshChannelRequest request, Clock::time_point deadline) {
  auto channel = std::make_shared<SshChannel>(shared_from_this(), std::move(request));
  const std::lock_guard lock(mutex_);
  deadline_ = std::max(deadline_, deadline);
  assign(channel, deadline);
  return channel;
}

void SshHost::assign(const std::shared_ptr<SshChannel>& channel, Clock::time_point deadline) {
  const auto found = std::find_if(links_.begin(), links_.end(), [](const auto& link) { return link->has_room(); });
  if (found != links_.end()) return (*found)->add(channel);
  const auto link = std::make_shared<SshLink>(*this, runtime_);
  links_.push_back(link);
  link->add(channel);
  try {
    std::shared_ptr<SshChannel> via;
    if (jump_) via = jump_->open({{}, settings_.host, settings_.port}, deadline);
    link->start(deadline, via);
  } catch (const std::exception& problem) {
    link->end(errc::host_unreachable, std::string("ssh: ") + problem.what());
  }
}

void SshHost::close() noexcept {
  const std::lock_guard lock(mutex_);
  for (const auto& link : std::vector(links_)) link->end(errc::terminated, "ssh: the group has ended");
}

SshPool::~SshPool() {
  if (fork_.in_child()) return;
  for (const auto& host : hosts_) host->close();
}

void SshPool::set_askpass(SshAskpass askpass) {
  const std::lock_guard lock(mutex_);
  askpass_ = std::move(askpass);
  for (const auto& host : hosts_) host->set_askpass(askpass_);
}

std::shared_ptr<SshHost> SshPool::host(const SshSettings& settings) {
  const auto jump = settings.jumps.empty() ? nullptr : host(settings.jumps.front());
  const std::lock_guard lock(mutex_);
  for (const auto& host : hosts_)
    if (host->settings() == settings) return host;
  return hosts_.emplace_back(std::make_shared<SshHost>(runtime_, settings, askpass_, jump));
}

}  // namespace gangway::detail
