# The short way: make build, make demo, make demo-train, make test, make format. Everything else is CMake (CMakePresets.json).
PRESET ?= release
BUILD := build/$(PRESET)

.PHONY: build demo demo-train test test-emulated test-asan fuzz format lint install-packages install-test-packages clean

# Asks for root only when something is missing.
install-packages:
	@cmake/install-packages

install-test-packages:
	@cmake/install-packages --tests

# The program; `make test` builds the tests.
build: install-packages
	cmake --preset $(PRESET)
	cmake --build --preset $(PRESET) --target switchyard

demo: build
	./demo/run $(BUILD)/src/switchyard

demo-train: build
	./demo/train $(BUILD)/src/switchyard

# Unit, MPI and Slurm tests, the CUDA half on an emulated GPU, and sanitizers.
test: install-test-packages build
	tests/run-all $(PRESET)

# The CUDA half on an emulated GPU (tests/emulator).
test-emulated: install-packages
	cmake --preset release
	cmake --build --preset emulated
	ctest --preset emulated

# Address and undefined-behaviour sanitizers over the fast tests, with an emulated GPU.
test-asan: install-packages
	cmake --preset asan
	cmake --build --preset asan
	ctest --preset asan

# libFuzzer for SECONDS_EACH on every target (clang).
SECONDS_EACH ?= 60
fuzz: install-packages
	tests/fuzz/run $(SECONDS_EACH)

SOURCES = $(shell git ls-files '*.cc' '*.h' '*.cu' '*.cuh')
format:
	clang-format -i $(SOURCES)

# Every file by itself: one that lacks an #include is named.
lint: build
	cmake --fresh --preset $(PRESET) -B build/lint -DSWITCHYARD_UNITY=OFF
	clang-format --dry-run --Werror $(SOURCES)
	git ls-files 'src/**/*.cc' 'kernels/**/*.cc' 'kernels/*.cc' 'comm/*.cc' 'jobs/*.cc' 'jobs/**/*.cc' ':!*/no_*.cc' | sort -u | xargs -P $(shell nproc) -n 4 clang-tidy -p build/lint --quiet --extra-arg=-Wno-unused-command-line-argument
	tests/shellcheck_test $(BUILD)/src/switchyard

clean:
	rm -rf build
