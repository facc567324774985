// How a gateway does not start.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include <gangway/error.hpp>
#include <gangway/group.hpp>

namespace gangway::test {

/// The StartError that makegateway fails with; another Error, or none, is a failure of the test.
[[nodiscard]] inline StartError start_error(Group& group, const std::string& spec) {
  try {
    (void)group.makegateway(spec);
    ADD_FAILURE() << "started: " << spec;
  } catch (const StartError& error) {
    return error;
  } catch (const Error& error) {
    ADD_FAILURE() << "not a StartError: " << error.what();
  }
  return {errc::bootstrap_failed, ""};
}

}  // namespace gangway::test
