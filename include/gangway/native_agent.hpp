// NativeAgent: what a gateway to `popen` without python= runs. A value.
//
// gangway-agent is looked for in this order; what none of them has is a StartError that names them:
//   - what GANGWAY_AGENT in the environment names
//   - the installation that libgangway as a shared library, or the Python package, stands in
//   - when libgangway is in the program: the installation whose bin/ the program stands in, and beside the program
//   - the installation of the headers that the program was compiled with, by find_package or pkg-config, if the agent
//     there is this user's or root's. These define GANGWAY_INSTALLED, and this header says where it is; nobody can when
//     __FILE__ is no absolute name (-fmacro-prefix-map, -I with a relative directory)
//   - the prefix that the library was configured with; before it, in a build for tests, the build's own
// An installed tree may be moved. Of a program that is not in it, only what is compiled afterwards knows.
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

namespace detail {
/// `header`: the name of this file. Any thread. Always true.
bool installed_with(const char* header);

#ifdef GANGWAY_INSTALLED
// Once per source file, so that one that starts a gateway before main has said it by then.
[[maybe_unused]] static const bool installation_is_known = installed_with(__FILE__);
#endif
}  // namespace detail

}  // namespace gangway
