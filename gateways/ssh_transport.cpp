#include "gateways/ssh_transport.hpp"

#include <utility>

namespace gangway::detail {

SshTransport::SshTransport(const std::shared_ptr<SshHost>& host, std::string command, Clock::time_point deadline)
    : channel_(host->open({std::move(command), {}, 0}, deadline)),
      description_("ssh " + host->settings().destination()) {}

std::unique_ptr<ByteStream> SshTransport::take_stream() { return std::make_unique<SshStream>(channel_); }

void SshTransport::watch(std::function<void()> on_end, std::string gateway, std::shared_ptr<OutputSink> sink) {
  channel_->stderr_lines().start(std::move(gateway), std::move(sink));
  channel_->on_end(std::move(on_end));
}

void SshTransport::ask_keeper() noexcept {
  if (!channel_->signal("TERM")) channel_->abandon();
}

void SshTransport::kill() noexcept {
  (void)channel_->signal("KILL");
  channel_->abandon();
}

void SshTransport::close() noexcept {
  channel_->abandon();
  channel_->stderr_lines().close();
}

}  // namespace gangway::detail
