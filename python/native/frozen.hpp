// Code objects, marshalled by freeze.py when this was built. Constants.
#pragma once

#include <string_view>

namespace gangway::python {

extern const std::string_view frozen_task;    // python/agent/task.py
extern const std::string_view frozen_native;  // python/native/native.py
extern const std::string_view frozen_warm;    // python/native/warm.py

}  // namespace gangway::python
