# Under AddressSanitizer: the Python tests that load the extension module are integration tests, which
# `./dev asan` runs. Python is not built with the sanitizer, so its runtime is preloaded; and it gets all
# memory from malloc, so that the sanitizer sees it. Leaks at its end are its own: test_leaks.py counts ours.
if(NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize=address")
  return()
endif()
execute_process(COMMAND ${CMAKE_CXX_COMPILER} -print-file-name=libclang_rt.asan-${CMAKE_HOST_SYSTEM_PROCESSOR}.so
                OUTPUT_VARIABLE runtime OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT IS_ABSOLUTE "${runtime}")
  message(STATUS "the extension module is not tested: ${CMAKE_CXX_COMPILER} has no sanitizer to preload")
  return()
endif()

# The agent has the sanitizer in it already.
set(agent ${PROJECT_BINARY_DIR}/agent-without-preload)
file(WRITE ${agent} "#!/bin/sh\nunset LD_PRELOAD\nexec ${CMAKE_RUNTIME_OUTPUT_DIRECTORY}/gangway-agent \"$@\"\n")
file(CHMOD ${agent} PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

get_property(tests DIRECTORY PROPERTY TESTS)
foreach(test ${tests})
  if(test MATCHES "^python\\.(binding|surface)")
    set_tests_properties(${test} PROPERTIES LABELS integration)
    set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT
      LD_PRELOAD=${runtime} PYTHONMALLOC=malloc GANGWAY_AGENT=${agent}
      ASAN_OPTIONS=strict_string_checks=1:detect_stack_use_after_return=1:detect_leaks=0)
  endif()
endforeach()
