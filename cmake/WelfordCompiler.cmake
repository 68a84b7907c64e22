# libwelford_compiler.so: src/compiler with MLIR and LLVM, opened with dlopen by the core.
#
# It carries its own copy of the core functions it calls (welford_core is static; nothing in it is mutable global state)
# and exports only what the sources mark with default visibility.
file(GLOB mlir_c_libraries "${WELFORD_LLVM_DIR}/lib/libMLIRCAPI*.a")
list(FILTER mlir_c_libraries EXCLUDE REGEX "Debug\\.a$") # its symbols are in libMLIR.so as well
find_library(MLIR_LIBRARY MLIR PATHS "${WELFORD_LLVM_DIR}/lib" NO_DEFAULT_PATH)
find_library(LLVM_LIBRARY LLVM PATHS "${WELFORD_LLVM_DIR}/lib" NO_DEFAULT_PATH)
if(NOT mlir_c_libraries OR NOT MLIR_LIBRARY OR NOT LLVM_LIBRARY)
    message(FATAL_ERROR "No MLIR with its C API in ${WELFORD_LLVM_DIR}: run scripts/setup build, or set WELFORD_LLVM_DIR")
endif()

add_library(welford_mlir INTERFACE)
target_include_directories(welford_mlir SYSTEM INTERFACE "${WELFORD_LLVM_DIR}/include")
target_link_libraries(welford_mlir INTERFACE
    -Wl,--start-group ${mlir_c_libraries} -Wl,--end-group ${MLIR_LIBRARY} ${LLVM_LIBRARY} stdc++ m Threads::Threads)

# The definitions of ops are part of the library.
set(wf_mlir "${PROJECT_SOURCE_DIR}/src/compiler/dialect/wf.mlir")
set(wf_mlir_source "${PROJECT_BINARY_DIR}/wf_mlir.c")
add_custom_command(OUTPUT "${wf_mlir_source}"
    COMMAND "${CMAKE_COMMAND}" "-DINPUT=${wf_mlir}" "-DOUTPUT=${wf_mlir_source}" -DNAME=wf_mlir
        -DHEADER=compiler/dialect/wf_mlir.h -P "${CMAKE_CURRENT_LIST_DIR}/embed.cmake"
    DEPENDS "${wf_mlir}" "${CMAKE_CURRENT_LIST_DIR}/embed.cmake" VERBATIM)

add_library(welford_compiler_objects OBJECT ${compiler_sources} "${wf_mlir_source}")
set_target_properties(welford_compiler_objects PROPERTIES POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
target_link_libraries(welford_compiler_objects PUBLIC welford_core welford_mlir)

if(NOT WELFORD_FUZZ)
    add_library(welford_compiler MODULE $<TARGET_OBJECTS:welford_compiler_objects>)
    target_link_options(welford_compiler PRIVATE LINKER:--exclude-libs,ALL ${welford_no_undefined})
    target_link_libraries(welford_compiler PRIVATE welford_core welford_mlir)
    set_target_properties(welford_compiler PROPERTIES
        BUILD_RPATH "${WELFORD_LLVM_DIR}/lib" INSTALL_RPATH "${WELFORD_LLVM_DIR}/lib")
endif()

# The same objects for tests and fuzzers, which call what the module hides.
if(WELFORD_TESTS OR WELFORD_BENCHES OR WELFORD_FUZZ)
    add_library(welford_compiler_static STATIC $<TARGET_OBJECTS:welford_compiler_objects>)
    target_link_libraries(welford_compiler_static PUBLIC welford_core welford_mlir)
endif()
