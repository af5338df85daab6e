# SWITCHYARD_UNITY: the sources of a folder are compiled as one, so that headers are read and templates are compiled once, not in every source: what is
# built whole, as `make build` and `make test` do, takes half as many compilations. Without it a change compiles its own file again, and every file proves that it
# includes what it uses (`make lint` does so). Sources of a folder do not give two things one name, anonymous namespaces or not; but for the folders of
# SWITCHYARD_APART, whose files are alike on purpose.
#
# switchyard_unity(TARGET): the C++ sources that the target has by now, one unit a folder.
option(SWITCHYARD_UNITY "Compile the sources of a folder as one" OFF)
set(SWITCHYARD_APART kernels/attention/cuda kernels/products/cuda src/model/checkpoint/formats src/model/config/families src/report tests/emulator)

function(switchyard_unity target)
  if(NOT SWITCHYARD_UNITY)
    return()
  endif()
  get_target_property(sources ${target} SOURCES)
  foreach(source IN LISTS sources)
    cmake_path(ABSOLUTE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE folder)
    cmake_path(RELATIVE_PATH folder BASE_DIRECTORY ${SWITCHYARD_ROOT})
    cmake_path(GET folder PARENT_PATH folder)
    if(NOT folder IN_LIST SWITCHYARD_APART)
      string(MAKE_C_IDENTIFIER ${folder} folder)
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder})
    endif()
  endforeach()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  # Types of an anonymous namespace are no danger in a source that includes others.
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage>)
endfunction()
