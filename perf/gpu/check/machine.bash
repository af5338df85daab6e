#!/usr/bin/env bash
# gpu-check: the GPU, CUDA's libraries, and a folder with the programs to run (stage).
# shellcheck disable=SC2154  # prepared, root, work: set by gpu-check

# Of CUDA, found on the GPU machine: in the toolkit, or in Python's nvidia packages.
cuda_libraries=(libcublasLt.so.13 libnccl.so.2)

# Folders in which CUDA's libraries may be.
library_folders() {
  local folder
  [[ -z ${LD_LIBRARY_PATH:-} ]] || tr ':' '\n' <<<"$LD_LIBRARY_PATH"
  for folder in /usr/local/cuda/lib64 /usr/local/cuda-*/lib64 /usr/local/cuda*/targets/x86_64-linux/lib /usr/local/nvidia/lib64 \
    /usr/lib/x86_64-linux-gnu; do
    [[ -d $folder ]] && echo "$folder"
  done
  command -v python3 >/dev/null || return 0
  python3 - 2>/dev/null <<'PYTHON' || true
import glob, os, site, sys
folders = set(site.getsitepackages() + [site.getusersitepackages()] + sys.path)
for folder in sorted(folders):
    for found in sorted(glob.glob(os.path.join(folder, "nvidia", "*", "lib"))):
        print(found)
PYTHON
}

# The first folder that has a library; nothing if the system finds it by itself.
folder_of() {
  local folder known
  known=$(ldconfig -p 2>/dev/null || true)  # whole: a pipe to a grep that has seen enough would break
  [[ $known =~ [[:space:]]$1[[:space:]] ]] && return 0
  while IFS= read -r folder; do
    [[ -e $folder/$1 ]] && echo "$folder" && return 0
  done < <(library_folders)
  return 1
}

gpu_name() { nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null | sed -n 1p; }

newest_glibc() { printf '%s\n%s\n' "$1" "$2" | sort -V | tail -1; }
own_glibc() { getconf GNU_LIBC_VERSION | cut -d' ' -f2; }

# One line a thing that is missing.
missing_here() {
  local library glibc
  [[ -n $(gpu_name) ]] || echo '  a GPU: nvidia-smi shows none'
  for library in "${cuda_libraries[@]}"; do
    folder_of "$library" >/dev/null || echo "  $library: neither the CUDA toolkit's nor Python's (nvidia-cublas, nvidia-nccl)"
  done
  if [[ -f $prepared/bundle.tar.gz ]]; then
    glibc=$(sed -n 's/^glibc //p' "$prepared/manifest")
    [[ $(newest_glibc "$glibc" "$(own_glibc)") == "$(own_glibc)" ]] ||
      echo "  glibc $glibc: the programs in $prepared need it, this machine has $(own_glibc)"
  else
    command -v cmake >/dev/null && command -v nvcc >/dev/null ||
      echo "  programs: no prepared folder $prepared, and no cmake and nvcc to build them"
  fi
}

# Programs, data and libraries in $work/stage: from the prepared folder, or built here.
stage_programs() {
  stage=$work/stage
  mkdir -p "$stage"
  if [[ -f $prepared/bundle.tar.gz ]]; then
    tar -xzf "$prepared/bundle.tar.gz" -C "$stage"
  else
    build >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2 && return 1; }
    copy_programs "$stage"
    copy_data "$stage"
  fi
}

commit_of_programs() {
  [[ -f $prepared/manifest ]] && sed -n 's/^commit //p' "$prepared/manifest" && return 0
  git -C "$root" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown
}

# What programs are run with, in `environment`. Programs only: the machine's own tools and Python must not see the
# bundled libraries.
set_environment() {
  local folders=$stage/lib library folder
  for library in "${cuda_libraries[@]}" libcuda.so.1; do
    folder=$(folder_of "$library") || continue
    [[ -z $folder || :$folders: == *:$folder:* ]] || folders+=:$folder
  done
  environment=("LD_LIBRARY_PATH=$folders${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" "PATH=$stage/bin:$PATH"
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 GTEST_COLOR=no)
  if [[ -d $stage/lib/openmpi3 ]]; then  # Open MPI looks for its parts where it was installed, unless told otherwise
    environment+=("OPAL_PREFIX=$stage" "OPAL_BINDIR=$stage/bin" "OPAL_LIBDIR=$stage/lib" "OPAL_PKGLIBDIR=$stage/lib/openmpi3"
      "OPAL_DATADIR=$stage/share" "OPAL_PKGDATADIR=$stage/share/openmpi" "OPAL_SYSCONFDIR=$stage/etc"
      "PMIX_INSTALL_PREFIX=$stage" "PMIX_PREFIX=$stage" "PMIX_LIBDIR=$stage/lib" "PMIX_PKGLIBDIR=$stage/lib/pmix")
  fi
}
with_libraries() { (cd "$stage" && exec env "${environment[@]}" "$@"); }
