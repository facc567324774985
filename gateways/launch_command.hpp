// The program, with its arguments, that leads to the agent of a spec, for every kind of gateway
// that is a process: popen, command, ssh by OpenSSH's client, vagrant_ssh, docker, podman,
// kubectl, sudo, su, doas, nsenter, unshare, slurm (spec-docs/launch.md). Pure: nothing is looked up
// or started.
#pragma once

#include <string>
#include <vector>

#include <gangway/xspec.hpp>

#include "gateways/bootstrap.hpp"

namespace gangway::detail {

/// What the command line needs and the spec does not say.
struct LaunchSettings {
  std::string cookie;             // GANGWAY_COOKIE of the agent
  std::string found_before = {};  // of FoundInterpreters
  std::string control_path = {};  // of SshControl; "": every ssh logs in
  bool askpass = false;           // SSH_ASKPASS is set, and may be asked
  bool is_root = false;           // who runs it, where it is run
};

/// Throws SpecError for what the kind's value cannot mean, and for kinds that are no process.
[[nodiscard]] std::vector<std::string> launch_command(const XSpec& spec, const Bootstrap& bootstrap,
                                                      const LaunchSettings& settings);

}  // namespace gangway::detail
