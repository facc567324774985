// Code objects of one namespace, marshalled by freeze.py when this was built. Constants.
#pragma once

#include <string_view>

namespace gangway::python {

// python/agent/, in this order, and native.py behind them.
extern const std::string_view frozen_task;
extern const std::string_view frozen_sleep;
extern const std::string_view frozen_errors;
extern const std::string_view frozen_native;

// python/agent/, when somebody asks for it.
extern const std::string_view frozen_arrays;
extern const std::string_view frozen_files;
extern const std::string_view frozen_output;
extern const std::string_view frozen_stacks;

extern const std::string_view frozen_warm;  // python/native/warm.py

}  // namespace gangway::python
