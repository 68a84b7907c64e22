# Every src/**/x_fuzz.c becomes the libFuzzer program fuzz/x_fuzz in the build folder; scripts/fuzz runs them.
# Nothing else is built in such a folder, since the whole core is instrumented for coverage.
if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "WELFORD_FUZZ needs clang (cmake --preset fuzz)")
endif()
set(sanitizers address,undefined)
target_compile_options(welford_core_objects PUBLIC
    -fsanitize=fuzzer-no-link,${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)

file(GLOB_RECURSE fuzz_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*_fuzz.c")
foreach(source ${fuzz_sources})
    cmake_path(GET source STEM name)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
    # LLVMFuzzerTestOneInput has no header. A source's own options come last.
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
    target_link_libraries(${name} PRIVATE welford_core)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer,${sanitizers})
endforeach()
