# Everything Switchyard stands on, each as one imported target.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(Boost REQUIRED COMPONENTS program_options)
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI REQUIRED COMPONENTS CXX)
find_package(dnnl REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS CXX)  # oneDNN chooses its blocking by the number of OpenMP threads
find_package(PkgConfig REQUIRED)
pkg_check_modules(hdf5 REQUIRED IMPORTED_TARGET hdf5)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)

if(SWITCHYARD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(SWITCHYARD_PERF)
  find_package(benchmark REQUIRED)
endif()
