# How every target of Kiln is compiled, and the three functions with which a room declares what it holds.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib)

option(KILN_TESTS "Build the tests" ON)
option(KILN_WERROR "Warnings are errors" ON)
option(KILN_HARDEN "Flags against exploitation, for packages" OFF)
option(KILN_FUZZ "Build the fuzz targets (clang)" OFF)
option(KILN_PRECOMPILE "Parse the standard library, Boost.JSON and doctest once; hides a missing #include" OFF)
set(KILN_SANITIZE "" CACHE STRING "Sanitizers for every target, e.g. address,undefined")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
  if(KILN_PRECOMPILE)  # without it ccache passes by whatever includes a precompiled header
    set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${CCACHE_PROGRAM})
  endif()
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(kiln_options INTERFACE)
target_include_directories(kiln_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_definitions(kiln_options INTERFACE KILN_VERSION="${PROJECT_VERSION}")
target_compile_options(kiln_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wold-style-cast
  -Woverloaded-virtual -Wimplicit-fallthrough -fstack-protector-strong $<$<BOOL:${KILN_WERROR}>:-Werror>)
set(KILN_SANITIZED 0)  # for tests, which shorten long loops where everything takes ten times as long
if(KILN_SANITIZE)
  set(KILN_SANITIZED 1)
  add_compile_options(-fsanitize=${KILN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${KILN_SANITIZE})
  # GCC 12 takes instrumented Boost code for a use of uninitialised memory and for a mismatched delete.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-mismatched-new-delete>)
  # Clang 14 cannot emit the check of function types within coroutines.
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
endif()
if(KILN_HARDEN)  # after the OpenSSF Compiler Options Hardening Guide for C and C++
  include(CheckCXXCompilerFlag)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -D_GLIBCXX_ASSERTIONS)
  foreach(flag -fstack-clash-protection -fcf-protection=full -mbranch-protection=standard)
    string(MAKE_C_IDENTIFIER "KILN_HAS${flag}" known)
    check_cxx_compiler_flag(${flag} ${known})
    if(${known})
      add_compile_options(${flag})
    endif()
  endforeach()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-pie>)
endif()
if(KILN_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()

# kiln_precompile(NAME HEADER): gives the target kiln_precompiled, or kiln_precompiled_test, which has doctest too.
# Libraries and programs share them, which is why programs are then compiled like libraries.
if(KILN_PRECOMPILE)
  set(CMAKE_CXX_COMPILE_OPTIONS_PIE -fPIC)
  add_compile_options("$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
  # GCC 12 takes sizes in precompiled templates for sizes of other objects. The package and clang presets, which
  # precompile nothing, have the warnings; a missing #include shows there too.
  add_compile_options($<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds> $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overflow>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-stringop-overread>)
  set(common <algorithm> <chrono> <cmath> <filesystem> <functional> <map> <memory> <optional> <set> <span> <string>
    <vector> <boost/json.hpp>)
  function(kiln_precompiled_headers name)
    add_library(${name} OBJECT ${PROJECT_SOURCE_DIR}/cmake/precompiled.cpp)
    target_link_libraries(${name} PRIVATE kiln_options Boost::json ${ARGN})
    target_precompile_headers(${name} PRIVATE ${common})
  endfunction()
  kiln_precompiled_headers(kiln_precompiled)
  if(KILN_TESTS)  # who builds no tests need not have doctest
    find_package(doctest REQUIRED)
    kiln_precompiled_headers(kiln_precompiled_test doctest::doctest)
    target_precompile_headers(kiln_precompiled_test PRIVATE <doctest/doctest.h>)
  endif()
endif()
function(kiln_precompile name header)
  if(KILN_PRECOMPILE)
    target_precompile_headers(${name} REUSE_FROM ${header})
  endif()
endfunction()

# Where a third less time to compile matters more than speed: code that waits and formats, and tests, which run once.
function(kiln_compile_fast name)
  target_compile_options(${name} PRIVATE $<$<CONFIG:Release>:-O1>)
endfunction()

# kiln_library(NAME [COLD] [DEPENDS targets...]): a static library of every .cpp below the current folder, except what
# the EXCLUDE regular expression matches. The headers are included by their path from the project's root. COLD: nobody
# waits for its computations.
function(kiln_library name)
  cmake_parse_arguments(arg "COLD" "EXCLUDE" "DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *.cpp)
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${arg_EXCLUDE})
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC kiln_options ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
  if(arg_COLD)
    kiln_compile_fast(${name})
  endif()
  kiln_precompile(${name} kiln_precompiled)
endfunction()

# kiln_program(NAME [DEPENDS targets...]): an executable of every .cpp in the current folder.
function(kiln_program name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS *.cpp)
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE kiln_options ${arg_DEPENDS})
  kiln_precompile(${name} kiln_precompiled)
endfunction()

# kiln_test(NAME [DEPENDS targets...] [ONLY regex] [EXCLUDE regex] [TIMEOUT seconds]): one doctest program of every
# *_test.cpp below the current folder, or of those that match one expression and not the other.
function(kiln_test name)
  cmake_parse_arguments(arg "" "TIMEOUT;ONLY;EXCLUDE" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS *_test.cpp)
  if(arg_ONLY)
    list(FILTER sources INCLUDE REGEX ${arg_ONLY})
  endif()
  if(arg_EXCLUDE)
    list(FILTER sources EXCLUDE REGEX ${arg_EXCLUDE})
  endif()
  add_executable(${name} ${sources})
  target_link_libraries(${name} PRIVATE kiln_options kiln_test_main ${arg_DEPENDS})
  target_compile_definitions(${name} PRIVATE
    KILN_SOURCE_DIR="${PROJECT_SOURCE_DIR}" KILN_BINARY_DIR="${PROJECT_BINARY_DIR}"
    KILN_SANITIZED=${KILN_SANITIZED})
  kiln_compile_fast(${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  kiln_precompile(${name} kiln_precompiled_test)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT})
endfunction()
