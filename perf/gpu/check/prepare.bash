#!/usr/bin/env bash
# gpu-check --prepare: programs, the libraries they need beside CUDA's, and test data, in one archive.
# shellcheck disable=SC2154  # root, work: set by gpu-check

most_megabytes=60
programs=(switchyard kernels_test comm_test comm_mpi_test model_test score_gpu_test bench_gpu)

# What the GPU machine has itself: its C library, and CUDA.
not_bundled='^(linux-vdso|ld-linux|libc\.|libm\.|libpthread|libdl\.|librt\.|libresolv|libcuda|libcublas|libcudart|libnccl|libnvidia)'
# Parts of Open MPI for networks and launchers that are not there: they would bring their libraries, or fail (no ssh).
not_needed='plm_rsh|ucx|_ofi|_psm|openib|verbs|flux|slurm|gridengine|memheap|sshmem|scoll|spml|atomic_|monitoring|romio|libompi_dbg'

build() {
  (cd "$root" && cmake --preset gpu-check && cmake --build --preset gpu-check --target "${programs[@]}")
}

copy_programs() {
  local name file
  mkdir -p "$1/bin"
  for name in "${programs[@]}"; do
    file=$(find "$root/build/gpu-check" -type f -name "$name" -perm -u+x -print -quit)
    [[ -n $file ]] || die 70 "$name was not built"
    strip -o "$1/bin/$name" "$file"
  done
}

copy_data() {
  mkdir -p "$1/tests/data" "$1/demo/texts"
  cp -r "$root"/tests/data/{configs,models,references,safetensors} "$1/tests/data/"
  cp -r "$root/demo/tiny-bytes" "$1/demo/"
  cp "$root/demo/texts/kjv.txt" "$1/demo/texts/"
}

# mpirun with the plugins and messages of this machine's Open MPI and PMIx.
copy_mpi() {
  local plugins messages pmix file
  plugins=$(ompi_info --path pkglibdir --parsable | cut -d: -f3)
  messages=$(ompi_info --path pkgdatadir --parsable | cut -d: -f3)
  mkdir -p "$1/lib/openmpi3" "$1/lib/pmix" "$1/share/openmpi" "$1/etc"
  strip -o "$1/bin/mpirun" "$(realpath "$(command -v mpirun)")"
  strip -o "$1/bin/orted" "$(realpath "$(command -v orted)")"
  for file in "$plugins"/*.so; do
    [[ $file =~ $not_needed ]] || cp -L "$file" "$1/lib/openmpi3/"
  done
  cp "$messages"/help-*.txt "$1/share/openmpi/"
  pmix=$(ldd "$1/lib/openmpi3/mca_pmix_ext3x.so" | awk '$1 ~ /^libpmix/ { print $3 }')
  for file in "$(dirname "$(realpath "$pmix")")"/pmix/*.so; do
    [[ $file =~ $not_needed ]] || cp -L "$file" "$1/lib/pmix/"
  done
}

# Everything that the programs and plugins load, except what the GPU machine has.
copy_libraries() {
  local file name path
  while read -r name path; do
    [[ $name =~ $not_bundled ]] && continue
    [[ $path != not ]] || die 69 "$name is not found here"
    [[ -e $1/lib/$name ]] || cp -L "$path" "$1/lib/$name"
  done < <(for file in "$1"/bin/* "$1"/lib/*/*.so; do ldd "$file"; done | awk '$2 == "=>" { print $1, $3 }' | sort -u)
  find "$1/lib" -name '*.so*' -exec strip --strip-unneeded {} +
}

write_manifest() {
  {
    echo "commit $(git -C "$root" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)"
    echo "date $(date -u +%FT%TZ)"
    echo "glibc $(own_glibc)"
    echo "cuda $(nvcc --version | sed -n 's/.*release \([0-9.]*\),.*/\1/p')"
  } >"$1/manifest"
}

prepare() {
  local folder=$1 kilobytes
  command -v nvcc >/dev/null || die 69 "--prepare needs CUDA's nvcc"
  build
  work=$(mktemp -d "${TMPDIR:-/tmp}/gpu-check-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  copy_programs "$work"
  copy_mpi "$work"
  copy_libraries "$work"
  copy_data "$work"
  mkdir -p "$folder"
  tar -czf "$folder/bundle.tar.gz" -C "$work" .
  write_manifest "$folder"
  kilobytes=$(du -sk "$folder" | cut -f1)
  echo "gpu-check: $folder has $((kilobytes / 1000)).$((kilobytes % 1000 / 100)) MB ($(du -sm "$work" | cut -f1) MB unpacked)"
  [[ $kilobytes -le $((most_megabytes * 1000)) ]] || die 73 "$folder is larger than $most_megabytes MB"
}
