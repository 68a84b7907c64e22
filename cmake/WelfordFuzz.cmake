# Every src/**/x_fuzz.c becomes the libFuzzer program fuzz/x_fuzz in the build folder; scripts/fuzz runs them.
# Nothing else is built in such a folder, since core and compiler are instrumented for coverage. MLIR and LLVM are not:
# in them, crashes are seen, and paths are not.
if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "WELFORD_FUZZ needs clang (cmake --preset fuzz)")
endif()
set(sanitizers address,undefined)
target_compile_options(welford_core_objects PUBLIC
    -fsanitize=fuzzer-no-link,${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)

file(GLOB_RECURSE fuzz_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*_fuzz.c")
if(WELFORD_COMPILER)
    include(WelfordCompiler)
else()
    list(FILTER fuzz_sources EXCLUDE REGEX "/src/compiler/")
endif()
# What the server reads of a request; its connections are tested end to end.
list(APPEND request_sources api_error ask body messages tool_calls)
list(TRANSFORM request_sources REPLACE "(.+)" "${PROJECT_SOURCE_DIR}/src/server/\\1.c")
add_library(welford_requests STATIC ${request_sources})
target_link_libraries(welford_requests PUBLIC welford_core)
foreach(source ${fuzz_sources})
    cmake_path(GET source STEM name)
    add_executable(${name} ${source})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/fuzz")
    # LLVMFuzzerTestOneInput has no header. A source's own options come last.
    set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
    if(source MATCHES "/src/compiler/")
        target_link_libraries(${name} PRIVATE welford_compiler_static)
        set_target_properties(${name} PROPERTIES BUILD_RPATH "${WELFORD_LLVM_DIR}/lib")
    elseif(source MATCHES "/src/server/")
        target_link_libraries(${name} PRIVATE welford_requests)
    else()
        target_link_libraries(${name} PRIVATE welford_core)
    endif()
    target_link_options(${name} PRIVATE -fsanitize=fuzzer,${sanitizers})
endforeach()
