# Registers the tests with ctest:
#
#   unit/…     every src/**/x_test.c, a cmocka program (label unit)
#   lit        test/lit: IR through passes and FileCheck (label lit)
#   e2e/…      every test/e2e/test_x.py, run by pytest on build/welford (label e2e)
#   (numbers)  the label, besides, of tests that hold what kernels compute against a reference: what a sanitizer does not
#              see into, and what does not depend on who compiled the compiler
#   layers     the include rule of docs/architecture.md
#   install    an installed copy builds programs through pkg-config and find_package
#
# The models come from $WELFORD_MODELS, a folder (`make test` sets it; scripts/get-model fills it).
# Tests of kernels go through CPU types themselves: what this one has, haswell, and the logic of AVX-512 code.
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

set(python "${WELFORD_VENV}/bin/python")
set(suppressions "${PROJECT_SOURCE_DIR}/test/sanitizers")
set(test_environment
    "WELFORD_SOURCE=${PROJECT_SOURCE_DIR}"
    "WELFORD_CACHE=${PROJECT_BINARY_DIR}/test/cache"
    "LSAN_OPTIONS=suppressions=${suppressions}/leaks.supp:print_suppressions=0"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=suppressions=${suppressions}/tsan.supp"
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1")

# The tests share one cache folder. It starts empty: what an older compiler left there must not be what is tested.
add_test(NAME empty-cache COMMAND "${CMAKE_COMMAND}" -E rm -rf "${PROJECT_BINARY_DIR}/test/cache")
set_tests_properties(empty-cache PROPERTIES FIXTURES_SETUP cache)

function(welford_add_test name label timeout)
    add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}")
    set_tests_properties(${name} PROPERTIES
        ENVIRONMENT "${test_environment}" LABELS ${label} TIMEOUT ${timeout} FIXTURES_REQUIRED cache)
endfunction()

# Of x_memory_test.c the project's allocations fail in turn (src/base/failing_memory.h).
set(failing_memory malloc calloc realloc aligned_alloc strdup strndup mmap arena_alloc arena_strdup pcre2_compile_8
    pcre2_match_data_create_8)
list(TRANSFORM failing_memory PREPEND "LINKER:--wrap=")

file(GLOB_RECURSE test_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/*_test.c")
if(NOT TARGET welford_compiler)
    list(FILTER test_sources EXCLUDE REGEX "/src/compiler/")
endif()
foreach(source ${test_sources})
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${PROJECT_SOURCE_DIR}/src" OUTPUT_VARIABLE relative)
    string(REGEX REPLACE "_test\\.c$" "" relative "${relative}")
    string(MAKE_C_IDENTIFIER "test_${relative}" target)
    add_executable(${target} ${source})
    set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/test/bin")
    if(relative MATCHES "^compiler/")
        target_link_libraries(${target} PRIVATE welford_compiler_static PkgConfig::CMOCKA)
    elseif(relative MATCHES "^server/")
        target_link_libraries(${target} PRIVATE welford_server_static PkgConfig::CMOCKA)
    elseif(relative MATCHES "^tool/")
        target_link_libraries(${target} PRIVATE welford_tool PkgConfig::CMOCKA)
    else()
        target_link_libraries(${target} PRIVATE welford_core PkgConfig::CMOCKA)
    endif()
    if(relative MATCHES "_memory$")
        target_link_options(${target} PRIVATE ${failing_memory})
    endif()
    welford_add_test(unit/${relative} unit 600 ${target})
    if(relative MATCHES "^compiler/kernel/")
        set_property(TEST unit/${relative} APPEND PROPERTY LABELS numbers)
    endif()
endforeach()

# What ThreadSanitizer is for (label threads; make tsan-test builds and runs nothing else).
if(TARGET welford_compiler)
    add_custom_target(thread_tests)
    foreach(name base/threads runtime/execute engine/concurrent engine/api_function engine/api_engine)
        string(MAKE_C_IDENTIFIER "test_${name}" target)
        add_dependencies(thread_tests ${target})
        set_property(TEST unit/${name} APPEND PROPERTY LABELS threads)
    endforeach()
    add_dependencies(thread_tests welford_compiler)
    set_property(TEST unit/engine/concurrent unit/engine/api_function unit/engine/same_bytes APPEND PROPERTY ENVIRONMENT
        "WELFORD_COMPILER=$<TARGET_FILE:welford_compiler>")
endif()

# One ctest a file, so that a failure names it and ctest can run them side by side.
file(GLOB e2e_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/e2e/test_*.py")
if(TARGET welford AND TARGET welford_compiler)
    set(numbers architectures bench norm_forms odd_values ppl r1_shape raise_mutants)
    foreach(source ${e2e_sources})
        cmake_path(GET source STEM name)
        string(REGEX REPLACE "^test_" "" name "${name}")
        welford_add_test(e2e/${name} e2e 900 ${python} -B -m pytest -p no:cacheprovider -q ${source})
        set_property(TEST e2e/${name} APPEND PROPERTY ENVIRONMENT "WELFORD=$<TARGET_FILE:welford>")
        if(name IN_LIST numbers)
            set_property(TEST e2e/${name} APPEND PROPERTY LABELS numbers)
        endif()
    endforeach()
    # a tenth of its models where a sanitizer watches, which does not see into kernels
    if(WELFORD_SANITIZE)
        set_property(TEST e2e/same_bytes APPEND PROPERTY ENVIRONMENT "WELFORD_TEST_SHARE=10")
        set_property(TEST e2e/exec_weights APPEND PROPERTY ENVIRONMENT "WELFORD_TEST_SANITIZED=1")
    endif()
endif()

file(GLOB_RECURSE lit_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/test/lit/*.mlir" "${PROJECT_SOURCE_DIR}/test/lit/*.test")
if(TARGET welford AND TARGET welford_compiler AND lit_sources)
    welford_add_test(lit lit 300 ${python} -B "${WELFORD_LLVM_DIR}/bin/lit" -sv "${PROJECT_SOURCE_DIR}/test/lit")
    set_property(TEST lit APPEND PROPERTY ENVIRONMENT
        "WELFORD=$<TARGET_FILE:welford>"
        "WELFORD_LLVM_BIN=${WELFORD_LLVM_DIR}/bin"
        "WELFORD_LIT_OUTPUT=${PROJECT_BINARY_DIR}/test/lit")
endif()

welford_add_test(layers lint 60 ${python} -B "${PROJECT_SOURCE_DIR}/test/layers/check_layers.py")
welford_add_test(exports lint 60 sh "${PROJECT_SOURCE_DIR}/test/install/check_exports.sh"
    $<TARGET_FILE:welford_shared> wf_ "$<$<TARGET_EXISTS:welford_compiler>:${PROJECT_BINARY_DIR}/libwelford_compiler.so>" welford_
    $<TARGET_FILE:welford_hub> welford_ $<TARGET_FILE:welford_server> welford_)
if(TARGET welford)
    welford_add_test(install install 300 sh "${PROJECT_SOURCE_DIR}/test/install/check_install.sh"
        "${CMAKE_COMMAND}" "${PROJECT_BINARY_DIR}" "${CMAKE_C_COMPILER}" "${WELFORD_SANITIZE}")
endif()
