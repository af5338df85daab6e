# base/version.h: what --version prints and results carry. The revision is read at configure time; HEAD's log is a
# dependency of that, so that a new commit configures again.
find_package(Git QUIET)
set(SWITCHYARD_GIT_REVISION "unknown")
if(GIT_FOUND AND EXISTS ${SWITCHYARD_ROOT}/.git)
  execute_process(COMMAND ${GIT_EXECUTABLE} describe --always --dirty --abbrev=12 WORKING_DIRECTORY ${SWITCHYARD_ROOT}
                  OUTPUT_VARIABLE SWITCHYARD_GIT_REVISION OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(EXISTS ${SWITCHYARD_ROOT}/.git/logs/HEAD)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${SWITCHYARD_ROOT}/.git/logs/HEAD)
  endif()
endif()

configure_file(${SWITCHYARD_ROOT}/cmake/version.h.in ${CMAKE_BINARY_DIR}/generated/base/version.h @ONLY)
add_library(switchyard_version INTERFACE)
target_include_directories(switchyard_version INTERFACE ${CMAKE_BINARY_DIR}/generated)
