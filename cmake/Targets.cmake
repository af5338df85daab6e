# switchyard_library, switchyard_test, switchyard_mpi_test: the only ways targets are made.
get_filename_component(SWITCHYARD_ROOT ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)

# Where tests find their data and the program. For tests that are run on another machine (perf/gpu-check): below their working
# directory, which has tests/data, demo and bin/switchyard.
option(SWITCHYARD_RELOCATABLE_TESTS "Tests look for data and the program below their working directory" OFF)
if(SWITCHYARD_RELOCATABLE_TESTS)
  set(SWITCHYARD_TEST_ROOT ".")
  set(SWITCHYARD_TEST_PROGRAM "bin/switchyard")
else()
  set(SWITCHYARD_TEST_ROOT ${SWITCHYARD_ROOT})
  set(SWITCHYARD_TEST_PROGRAM "$<TARGET_FILE:switchyard>")
endif()

add_library(switchyard_options INTERFACE)
target_compile_features(switchyard_options INTERFACE cxx_std_20)
target_include_directories(switchyard_options INTERFACE ${SWITCHYARD_ROOT} ${SWITCHYARD_ROOT}/src)
# -Wrestrict: g++ 12 sees overlaps in std::string that are not there (PR 105651).
set(SWITCHYARD_WARNINGS -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND SWITCHYARD_WARNINGS -Wno-restrict)
endif()
# The least CPU: AVX2 with FMA. No contraction across statements, so that a source line is what is computed.
target_compile_options(switchyard_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${SWITCHYARD_WARNINGS};-march=x86-64-v3;-ffp-contract=off>")
target_link_libraries(switchyard_options INTERFACE Threads::Threads)
# g++ looks for garbage whenever it has doubled its memory, a seventh of its time. Where each of Ninja's jobs has 3 GB it need not.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  cmake_host_system_information(RESULT memory QUERY TOTAL_PHYSICAL_MEMORY)  # MiB
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  math(EXPR memory_of_job "${memory} / (${cores} + 2)")
  if(memory_of_job GREATER_EQUAL 3072)
    target_compile_options(switchyard_options INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:--param=ggc-min-heapsize=4194304>")
  endif()
endif()
if(SWITCHYARD_SANITIZE)
  # With its checks inlined g++ 12 sees overflows in fmt and std::string that are not there.
  target_compile_options(switchyard_options INTERFACE -Wno-stringop-overflow -Wno-maybe-uninitialized)
  target_compile_options(switchyard_options INTERFACE -fsanitize=${SWITCHYARD_SANITIZE} -fno-omit-frame-pointer
                                                      -fno-sanitize-recover=all)
  target_link_options(switchyard_options INTERFACE -fsanitize=${SWITCHYARD_SANITIZE})
endif()

# Tests are compiled more often than they are waited for.
add_library(switchyard_test_options INTERFACE)
target_compile_options(switchyard_test_options INTERFACE $<$<AND:$<CONFIG:Release>,$<COMPILE_LANGUAGE:CXX>>:-O1>)

# What OPTIMIZED libraries are compiled with whatever the build type, but for debugging: those whose loops are what a run or a test takes its time for. With
# sanitizers more than -O1 would take too long to compile.
set(SWITCHYARD_OPTIMIZED -O3)
if(SWITCHYARD_SANITIZE)
  set(SWITCHYARD_OPTIMIZED -O1)
endif()

# switchyard_library(NAME [OPTIMIZED] SOURCES … [DEPENDS …] [PRIVATE_DEPENDS …])
function(switchyard_library name)
  cmake_parse_arguments(arg "OPTIMIZED" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC switchyard_options ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})
  if(arg_OPTIMIZED)
    target_compile_options(${name} PRIVATE $<$<AND:$<NOT:$<CONFIG:Debug>>,$<COMPILE_LANGUAGE:CXX>>:${SWITCHYARD_OPTIMIZED}>)
  endif()
  switchyard_unity(${name})
endfunction()

# Some of the tests: what the presets emulated and asan build, and, by the same labels, run.
add_custom_target(gpu_tests)
add_custom_target(fast_tests)
function(switchyard_group_test name labels)
  if("gpu" IN_LIST labels)
    add_dependencies(gpu_tests ${name})
  endif()
  if(NOT labels MATCHES "slow|mpi|slurm")
    add_dependencies(fast_tests ${name})
  endif()
endfunction()

# The files *_test.cc of this folder and below that no target has yet, so that none is forgotten. Those below cuda/ belong to builds with the CUDA half,
# those below emulated/ to builds with an emulated GPU.
function(switchyard_rest_of_tests result)
  file(GLOB_RECURSE tests RELATIVE ${CMAKE_CURRENT_SOURCE_DIR} CONFIGURE_DEPENDS *_test.cc)
  get_property(targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(taken ${target} SOURCES)
    list(REMOVE_ITEM tests ${taken})
  endforeach()
  if(NOT SWITCHYARD_HAS_CUDA)
    list(FILTER tests EXCLUDE REGEX "(^|/)cuda/")
  endif()
  if(NOT SWITCHYARD_EMULATED_GPU)
    list(FILTER tests EXCLUDE REGEX "(^|/)emulated/")
  endif()
  set(${result} ${tests} PARENT_SCOPE)
endfunction()

# switchyard_test(NAME [REST] SOURCES … [DEPENDS …] [LABELS …] [TIMEOUT s]): one GoogleTest program, one ctest entry. With REST, which comes last in a
# folder, it has all tests that the programs before it do not have.
function(switchyard_test name)
  cmake_parse_arguments(arg "REST" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(arg_REST)
    switchyard_rest_of_tests(rest)
    list(APPEND arg_SOURCES ${rest})
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE switchyard_test_options ${arg_DEPENDS} GTest::gtest GTest::gtest_main)
  switchyard_unity(${name})
  target_compile_definitions(${name} PRIVATE SWITCHYARD_TEST_DATA="${SWITCHYARD_TEST_ROOT}/tests/data")
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
  switchyard_group_test(${name} "${arg_LABELS}")
endfunction()

# switchyard_mpi_test(NAME SOURCES … RANKS n … [DEPENDS …] [LABELS …] [TIMEOUT s]): one ctest entry per rank count.
function(switchyard_mpi_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS;RANKS" ${ARGN})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE switchyard_test_options ${arg_DEPENDS} GTest::gtest)
  switchyard_unity(${name})
  switchyard_group_test(${name} "mpi;${arg_LABELS}")
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}_${ranks} COMMAND ${MPIEXEC_EXECUTABLE} --oversubscribe --bind-to none -n ${ranks} $<TARGET_FILE:${name}>)
    set_tests_properties(
      ${name}_${ranks} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "mpi;${arg_LABELS}" PROCESSORS 2
      ENVIRONMENT "OMPI_ALLOW_RUN_AS_ROOT=1;OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1;OMPI_MCA_rmaps_base_oversubscribe=1")
  endforeach()
endfunction()
