#include "gateways/client_process.hpp"

#include "gateways/client_failure.hpp"

namespace gangway::detail {

ClientProcess::ClientProcess(Runtime& runtime, const XSpec& spec, SpawnRequest request, Start start)
    : PopenProcess(runtime, std::move(request), start), spec_(spec), ends_step_(spec.kind() == TransportKind::slurm) {}

std::string ClientProcess::description() const {
  const std::string_view kind = to_string(spec_.kind());
  return std::string(kind) + "=" + spec_.get(kind).value_or("") + ", " + PopenProcess::description();
}

std::optional<ConnectionEnd> ClientProcess::failure() {
  return answered_ ? std::nullopt : client_failure(spec_, death());
}

void ClientProcess::ask_keeper() noexcept {
  asked_ = true;
  PopenProcess::ask_keeper();
}

void ClientProcess::kill() noexcept {
  if (ends_step_ && !asked_)
    ask_keeper();
  else
    PopenProcess::kill();
}

}  // namespace gangway::detail
