# Compiler flags for every source of the project, and the target `welford_flags` that carries them.
#
# No -march: this code runs on any x86-64. What has to be fast is generated at run time for the CPU at hand.
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON) # clang-tidy reads it
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}")

add_library(welford_flags INTERFACE)
# _GNU_SOURCE is for all; empty, so that a source which says so itself says the same.
target_compile_definitions(welford_flags INTERFACE _GNU_SOURCE= WELFORD_VERSION="${PROJECT_VERSION}")
target_compile_options(welford_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -ffunction-sections -fdata-sections
    $<$<BOOL:${WELFORD_WERROR}>:-Werror>)
target_link_options(welford_flags INTERFACE LINKER:--gc-sections LINKER:--as-needed)

# For shared libraries: a missing function is the linker's error, not dlopen's. A sanitizer's functions come from the
# program, though.
set(welford_no_undefined LINKER:--no-undefined)

if(WELFORD_SANITIZE)
    set(welford_no_undefined "")
    set(sanitize -fsanitize=${WELFORD_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_compile_options(welford_flags INTERFACE ${sanitize})
    target_link_options(welford_flags INTERFACE ${sanitize})
endif()
