// Descriptors 0 to 2 at the start: the first two carry the protocol and are moved out of
// the reach of user code.
#pragma once

#include <string>

#include "core/file_descriptor.hpp"

namespace gangway::python {

/// Makes sure that 0 and 1 are open (else: the reason), and that nothing of ours can land on 2.
[[nodiscard]] std::string check_stdio();

/// The protocol's are from here on, where the system permits.
inline constexpr int private_descriptors = 100;

/// High numbers, for code that expects small ones to be its own. Not inherited.
struct ProtocolDescriptors {
  detail::FileDescriptor read;
  detail::FileDescriptor write;
};
/// Leaves the null device on 0 and 1. Throws Error.
[[nodiscard]] ProtocolDescriptors take_stdio();

}  // namespace gangway::python
