// NativeAgent: what a gateway to `popen` without python= runs. A value.
#pragma once

#include <string>
#include <vector>

#include <gangway/bytes.hpp>

namespace gangway {

/// By default gangway-agent, with the interpreter that it embeds. A program that is a Python
/// interpreter itself can have its gateways run that one (Group::set_native_agent).
struct NativeAgent {
  std::vector<std::string> command;  // program and arguments; empty: gangway-agent
  std::vector<Bytes> sys_path;       // file names, put in place of its sys.path; empty: as it is when it starts
  // What has the portable agent where the native one cannot serve, with gevent and eventlet: program and
  // options. Empty: such a spec needs python=.
  std::vector<std::string> interpreter;
};

}  // namespace gangway
