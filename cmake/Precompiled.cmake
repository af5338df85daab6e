# SWITCHYARD_PRECOMPILE: the headers that cost most and never change are parsed once, not in every source: ON everywhere, TESTS in tests alone.
# ON is for builds that only tests need; the release build, without it, proves that every file of the program includes what it uses. With a
# compiler cache (CMAKE_CXX_COMPILER_LAUNCHER) it is off: what is precompiled defeats the cache.
#
# switchyard_precompile(TARGET HEADERS): the target's C++ sources find HEADERS precompiled, headers (for libraries) or test_headers (with GoogleTest). g++
# needs the options they were compiled with: OPTIMIZED libraries, whose headers cost little, do without.
set(SWITCHYARD_PRECOMPILE OFF CACHE STRING "Precompile the headers of the standard library and of other projects: OFF, TESTS, ON")
if(CMAKE_CXX_COMPILER_LAUNCHER)
  set(SWITCHYARD_PRECOMPILE OFF)
endif()

set(SWITCHYARD_PRECOMPILED)
if(SWITCHYARD_PRECOMPILE STREQUAL "TESTS")
  set(SWITCHYARD_PRECOMPILED test_headers)
elseif(SWITCHYARD_PRECOMPILE)
  set(SWITCHYARD_PRECOMPILED headers test_headers)
endif()

function(switchyard_precompile target headers)
  if(headers IN_LIST SWITCHYARD_PRECOMPILED)
    target_precompile_headers(${target} REUSE_FROM switchyard_${headers})
  endif()
endfunction()

if(SWITCHYARD_PRECOMPILED)
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/headers.cc CONTENT "")
  foreach(headers IN LISTS SWITCHYARD_PRECOMPILED)
    add_library(switchyard_${headers} OBJECT EXCLUDE_FROM_ALL ${CMAKE_BINARY_DIR}/generated/headers.cc)
    target_link_libraries(switchyard_${headers} PRIVATE switchyard_options fmt::fmt nlohmann_json::nlohmann_json)
    target_precompile_headers(
      switchyard_${headers}
      PRIVATE <algorithm> <array> <atomic> <chrono> <condition_variable> <cstring> <deque> <filesystem> <fstream> <functional> <iostream> <map>
              <memory> <mutex> <numeric> <optional> <set> <span> <string> <string_view> <thread> <tuple> <variant> <vector>
              <fmt/chrono.h> <fmt/format.h> <fmt/ranges.h> <nlohmann/json.hpp>)
  endforeach()
  if(SWITCHYARD_TESTS)
    target_link_libraries(switchyard_test_headers PRIVATE switchyard_test_options GTest::gtest)
    target_precompile_headers(switchyard_test_headers PRIVATE <gtest/gtest.h>)
  endif()
endif()
