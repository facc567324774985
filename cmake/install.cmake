# The installed library: headers, libgangway, the native agent, gwserver, find_package and pkg-config.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/gangway TYPE INCLUDE FILES_MATCHING PATTERN "*.hpp")
install(TARGETS gangway EXPORT gangway)
if(TARGET gangway-agent)
  install(TARGETS gangway-agent DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/gangway)
endif()
if(TARGET gwserver)
  install(TARGETS gwserver)
  install(FILES gateways/server/gwserver.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/gangway)
install(EXPORT gangway NAMESPACE gangway:: FILE gangway-targets.cmake DESTINATION ${package})
configure_package_config_file(cmake/gangway-config.cmake.in generated/gangway-config.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/generated/gangway-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/gangway-config.cmake
              ${PROJECT_BINARY_DIR}/generated/gangway-config-version.cmake
        DESTINATION ${package})

# Its prefix is relative to itself, so that an installed tree can be moved.
file(RELATIVE_PATH prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
string(REGEX REPLACE "/$" "" prefix_from_pc "${prefix_from_pc}")
configure_file(cmake/gangway.pc.in generated/gangway.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/generated/gangway.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
