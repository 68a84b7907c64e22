# libwelford_server.so: src/server with libmicrohttpd, opened with dlopen by `welford serve`.
#
# Like the compiler library it carries its own copy of the core functions it calls, and exports one function.
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)

welford_find_sources(server_sources server)
add_library(welford_server_static STATIC ${server_sources}) # for the tests
set_target_properties(welford_server_static PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
target_link_libraries(welford_server_static PUBLIC welford_core PkgConfig::MICROHTTPD PkgConfig::JANSSON)

add_library(welford_server MODULE ${server_sources})
set_target_properties(welford_server PROPERTIES C_VISIBILITY_PRESET hidden)
target_link_options(welford_server PRIVATE LINKER:--exclude-libs,ALL ${welford_no_undefined})
target_link_libraries(welford_server PRIVATE welford_core PkgConfig::MICROHTTPD PkgConfig::JANSSON)
