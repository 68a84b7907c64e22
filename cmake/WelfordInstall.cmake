# What `cmake --install` puts where:
#
#   bin/welford                  include/welford.h
#   LIB/libwelford.so.0          LIB/welford/libwelford_compiler.so, libwelford_hub.so,
#                                libwelford_server.so
#   LIB/pkgconfig/welford.pc     LIB/cmake/welford/welford-config.cmake, target welford::welford
include(CMakePackageConfigHelpers)

install(FILES include/welford.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS welford_shared EXPORT welford-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET welford)
    install(TARGETS welford RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
install(TARGETS welford_hub welford_server LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/welford)
if(TARGET welford_compiler)
    install(TARGETS welford_compiler LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/welford)
endif()

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/welford)
install(EXPORT welford-targets NAMESPACE welford:: DESTINATION ${package_folder})
configure_package_config_file(cmake/welford-config.cmake.in welford-config.cmake INSTALL_DESTINATION ${package_folder})
write_basic_package_version_file(welford-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/welford-config.cmake" "${PROJECT_BINARY_DIR}/welford-config-version.cmake"
    DESTINATION ${package_folder})

# Relative to where the file itself lies, so that --prefix at installation and moving the whole both work.
file(RELATIVE_PATH WELFORD_PC_PREFIX "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" WELFORD_PC_PREFIX "${WELFORD_PC_PREFIX}")
configure_file(cmake/welford.pc.in welford.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/welford.pc" DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
