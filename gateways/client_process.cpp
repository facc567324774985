#include "gateways/client_process.hpp"

#include "gateways/client_failure.hpp"

namespace gangway::detail {

ClientProcess::ClientProcess(Runtime& runtime, const XSpec& spec, std::vector<std::string> argv,
                             std::vector<std::pair<std::string, std::string>> extra_env)
    : PopenProcess(runtime, std::move(argv), std::move(extra_env)), spec_(spec) {}

std::string ClientProcess::description() const {
  const std::string_view kind = to_string(spec_.kind());
  return std::string(kind) + "=" + spec_.get(kind).value_or("") + ", " + PopenProcess::description();
}

std::optional<ConnectionEnd> ClientProcess::failure() {
  return answered_ ? std::nullopt : client_failure(spec_, death());
}

}  // namespace gangway::detail
