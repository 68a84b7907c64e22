# The Python package's C extension, python/src: _core.abi3.so, for CPython 3.11 and later. `pip install ./python` builds it
# and installs the component `python`:
#
#   welford/_core.abi3.so           opens welford/lib/libwelford.so.0
#   welford/lib/libwelford.so.0     opens libwelford_compiler.so and libwelford_hub.so beside it
#
# MLIR and LLVM are not in the wheel: the compiler library finds them where they were when it was linked
# (WELFORD_LLVM_DIR).
find_package(Python 3.11 REQUIRED COMPONENTS Interpreter Development.Module)
file(GLOB python_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/*.c")
Python_add_library(welford_python MODULE ${python_sources})
target_compile_definitions(welford_python PRIVATE Py_LIMITED_API=0x030B0000)
target_link_libraries(welford_python PRIVATE welford_flags welford_shared)
target_include_directories(welford_python PRIVATE "${PROJECT_SOURCE_DIR}/include")
set_target_properties(welford_python PROPERTIES
    OUTPUT_NAME _core PREFIX "" SUFFIX .abi3.so C_VISIBILITY_PRESET hidden INSTALL_RPATH "$ORIGIN/lib")

install(TARGETS welford_python LIBRARY DESTINATION . COMPONENT python)
install(FILES $<TARGET_FILE:welford_shared> RENAME $<TARGET_SONAME_FILE_NAME:welford_shared> DESTINATION lib COMPONENT python)
install(TARGETS welford_hub LIBRARY DESTINATION lib COMPONENT python)
if(TARGET welford_compiler)
    install(TARGETS welford_compiler LIBRARY DESTINATION lib COMPONENT python)
endif()
