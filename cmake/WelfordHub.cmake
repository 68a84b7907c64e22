# libwelford_hub.so: src/hub/net with libcurl and libcrypto, opened with dlopen when something is to be downloaded.
#
# Like the compiler library it carries its own copy of the core functions it calls, and exports one function.
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.85)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)

welford_find_sources(hub_sources hub/net)
add_library(welford_hub MODULE ${hub_sources})
set_target_properties(welford_hub PROPERTIES C_VISIBILITY_PRESET hidden)
target_link_options(welford_hub PRIVATE LINKER:--exclude-libs,ALL ${welford_no_undefined})
target_link_libraries(welford_hub PRIVATE welford_core PkgConfig::CURL PkgConfig::CRYPTO)
