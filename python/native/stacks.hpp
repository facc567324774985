// Where the Python code of every thread is, as text: also while somebody holds the GIL and
// does not give it back.
#pragma once

#include <chrono>
#include <string>
#include <unordered_map>

#include "python/common/py_ref.hpp"

namespace gangway::python {

/// What a thread is to the agent: "main thread, task of channel 1". By PyThreadState's thread_id.
using ThreadRoles = std::unordered_map<unsigned long, std::string>;

/// Thread rule: with the GIL.
[[nodiscard]] std::string stacks_with_gil(const ThreadRoles& roles);

/// The last known ones, as faulthandler's watchdog reads them. Thread rule: any thread, while
/// some other one keeps the GIL and is not in the interpreter's loop: else frames that are
/// being changed are read. `silence`: for how long the interpreter has not answered.
[[nodiscard]] std::string stacks_without_gil(const ThreadRoles& roles, std::chrono::duration<double> silence);

/// Whether gil_holder() knows.
inline constexpr bool gil_holder_is_known = PY_VERSION_HEX >= 0x030b0000 && PY_VERSION_HEX < 0x030c0000;
/// Who has the GIL, as the operating system numbers it; 0: nobody, or it is not known.
/// Thread rule: any thread.
[[nodiscard]] int gil_holder() noexcept;

}  // namespace gangway::python
