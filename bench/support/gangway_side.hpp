// What the Gangway side of a benchmark needs beside measure.hpp.
#pragma once

#include <gangway/gangway.hpp>

#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "bench/support/measure.hpp"

namespace bench {

/// "native", "portable", or any spec.
inline std::string spec_of(std::string_view agent) {
  if (agent == "native") return "popen";
  if (agent == "portable") return "popen//python=/usr/bin/python3";
  return std::string(agent);
}

/// main() of a program that is called with an agent.
inline int measure(int argc, char** argv, void (*body)(const std::string& spec)) {
  if (argc != 2) {
    std::cerr << "usage: " << argv[0] << " native|portable|SPEC\n";
    return 2;
  }
  try {
    body(spec_of(argv[1]));
    return 0;
  } catch (const std::exception& error) {
    std::cerr << argv[0] << ": " << error.what() << "\n";
    return 1;
  }
}

}  // namespace bench
