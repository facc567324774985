#include "gateways/server/served_agent.hpp"

#include <unistd.h>

#include <csignal>
#include <utility>

#include "gateways/line_writer.hpp"
#include "gateways/oom_kills.hpp"

namespace gangway::detail {

ServedAgent::ServedAgent(boost::asio::io_context& io, FileDescriptor errors)
    : exited(io), stderr_pump(std::make_shared<StderrPump>(io, std::move(errors))), oom_kills_before(oom_kills()) {
  stderr_pump->start({}, LineWriter::shared(STDERR_FILENO));
}

DeathRecord ServedAgent::death() {
  stderr_pump->drain();
  DeathRecord record = child.status().value_or(ExitStatus{}).death_record();
  record.stderr_tail = stderr_pump->tail();
  if (record.signal == SIGKILL && oom_kills_before) record.out_of_memory = oom_kills() > oom_kills_before;
  return record;
}

}  // namespace gangway::detail
