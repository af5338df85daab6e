// HDF5 1.10 does not survive every corrupt file: damaged group heaps make it read wild addresses, looped trees run for
// ever. So a file from outside is first opened in a child process, whose crash is then only an error. The child is this
// same program started anew: one that was forked off while another thread (the lease's, MPI's) held a lock, an
// allocator's say, would wait for that lock for ever.
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <vector>

#include "io/command.h"
#include "io/hdf5_detail.h"

namespace switchyard::h5 {
namespace {

constexpr std::string_view kProgram = "/proc/self/exe";  // whoever runs it, itself
constexpr std::string_view kWord = "open-hdf5";
constexpr rlim_t kCpuSeconds = 5;                  // a loop burns them, a slow file system does not
constexpr std::chrono::seconds kStringsBudget{2};  // of reading; some millions of strings
constexpr int64_t kStringsBlock = 4096;

/// Strings lie in heaps that opening does not look at.
void read_strings(const Dataset& dataset) {
  const auto deadline = std::chrono::steady_clock::now() + kStringsBudget;
  for (int64_t row = 0; row < dataset.rows() && std::chrono::steady_clock::now() < deadline; row += kStringsBlock)
    dataset.read_strings(row, std::min(kStringsBlock, dataset.rows() - row));
}

/// Opens whatever is in the file, and reads its strings.
void open_everything(const std::filesystem::path& path) {
  const Subject subject{ExitCode::input, path.native()};
  const Reader reader(path, Trust::verified);
  const FileHandle file(
      checked(H5Fopen(path.c_str(), H5F_ACC_RDONLY, file_access(subject).get()), subject, "open as HDF5"));
  for (const std::string& name : reader.datasets()) try {
      const Dataset dataset = reader.open(name);
      if (dataset.kind() == Kind::string) read_strings(dataset);
    } catch (const std::exception&) {  // of no concern unless somebody asks for this dataset
    }
  std::vector<std::string> attributes;
  const auto collect_attribute = [](hid_t, const char* name, const H5A_info_t*, void* out) -> herr_t {
    static_cast<std::vector<std::string>*>(out)->emplace_back(name);
    return 0;
  };
  checked(H5Aiterate2(file.get(), H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_attribute, &attributes), subject,
          "list");
  for (const std::string& name : attributes) try {
      reader.attribute(name);
    } catch (const std::exception&) {
    }
}

/// In the child, before its main: "/proc/self/exe open-hdf5 PATH", which nobody types.
[[gnu::constructor]] void open_everything_if_asked(int argc, char** argv) {
  if (argc != 3 || argv[0] != kProgram || argv[1] != kWord) return;
  const rlimit cpu{kCpuSeconds, kCpuSeconds};
  ::setrlimit(RLIMIT_CPU, &cpu);
  try {
    open_everything(argv[2]);
  } catch (const std::exception&) {  // the parent meets the same error, and can report it
  }
  ::_exit(0);
}

}  // namespace

void probe(const std::filesystem::path& path) {
  // A child that a signal ends looks like a crash.
  const auto child =
      run_command({std::string(kProgram), std::string(kWord), path.native()}, std::nullopt, Hears::nothing);
  if (!child) fail(ExitCode::environment, "{}: cannot be opened: {} is missing", path.native(), kProgram);
  if (child->exit_code == 0) return;
  const bool hangs = child->exit_code == 128 + SIGXCPU || child->exit_code == 128 + SIGKILL;
  fail(ExitCode::input, "{}: cannot open as HDF5: the library {} on it; the file is corrupt", path.native(),
       hangs ? "hangs" : "crashes");
}

}  // namespace switchyard::h5
