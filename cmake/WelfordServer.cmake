# libwelford_server.so: src/server with libmicrohttpd, opened with dlopen by `welford serve`.
#
# Like the compiler library it carries its own copy of the core functions it calls, and exports one function. The files of
# its page are part of it.
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)

set(embed "${PROJECT_SOURCE_DIR}/cmake/WelfordEmbed.cmake")
set(page_source "${PROJECT_BINARY_DIR}/page_data.c")
set(page_files index.html style.css markdown.js app.js)
list(TRANSFORM page_files PREPEND "${PROJECT_SOURCE_DIR}/src/server/page/")
add_custom_command(OUTPUT "${page_source}"
    COMMAND "${CMAKE_COMMAND}" "-DOUTPUT=${page_source}" "-DFILES=${page_files}" -P "${embed}"
    DEPENDS ${page_files} "${embed}" VERBATIM)

welford_find_sources(server_sources server)
add_library(welford_server_objects OBJECT ${server_sources} "${page_source}")
set_target_properties(welford_server_objects PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
target_link_libraries(welford_server_objects PUBLIC welford_core PkgConfig::MICROHTTPD PkgConfig::JANSSON)

add_library(welford_server_static STATIC) # for the tests
target_link_libraries(welford_server_static PUBLIC welford_server_objects)

add_library(welford_server MODULE $<TARGET_OBJECTS:welford_server_objects>)
target_link_options(welford_server PRIVATE LINKER:--exclude-libs,ALL ${welford_no_undefined})
target_link_libraries(welford_server PRIVATE welford_core PkgConfig::MICROHTTPD PkgConfig::JANSSON)
