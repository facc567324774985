// What tasks print: for Gateway::set_output. A value.
#pragma once

#include <cstdint>
#include <string>

namespace gangway {

enum class OutputStream : std::uint8_t { out = 1, err = 2 };

/// Whole lines that a gateway's tasks wrote, or its process.
struct Output {
  std::string gateway;        // its id
  std::uint32_t channel = 0;  // of the task that wrote it; 0: not known
  OutputStream stream = OutputStream::out;
  std::string text;  // as it was written, with its line feeds; pieces of a line that is over 64 KiB

  friend bool operator==(const Output&, const Output&) = default;
};

}  // namespace gangway
