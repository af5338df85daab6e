#!/usr/bin/env bash
# gpu-check: the steps, each under a time limit, none beyond the time for everything.
# shellcheck disable=SC2154  # out, root, seconds, stage, started, work, only: set by gpu-check

# name|part of --only|most seconds|what
steps=(
  'kernels|tests|100|every kernel against its double-precision oracle'
  'comm|tests|40|communicators and exchange: threads staged through the host, NCCL at one rank'
  'comm_mpi|tests|60|the same over MPI, 1, 2 and 4 ranks'
  'model|tests|80|whole models in one process, CPU and GPU, any batch, threads as ranks'
  'ceilings|bench|20|copy bandwidth and bf16 8192³ product, cold and after a second of load'
  'moe_layer|bench|40|a layer of qwen3-30b-a3b, 16384 to 64 tokens'
  'prefill|bench|60|qwen3-30b-a3b, 16 × 1024 tokens'
  'latency|bench|40|seed-23B, one input of 1024 tokens'
  'kernel_rates|bench|40|every op at the shapes of qwen3-30b-a3b'
  'exchange|bench|20|a transfer from one rank to itself, staged and NCCL'
  'peers|bench|90|PyTorch transformers on the work of prefill'
  'models|models|150|switchyard score against references, f32 and bf16; batches, --share-gpu with 2 and 4 ranks: same bits'
  'memcheck|sanitizer|60|compute-sanitizer over the small kernel tests'
  'racecheck|sanitizer|60|the same for races in shared memory'
  'pair|nccl|40|two ranks of NCCL on one GPU, where its version can'
)

# Whether --only asks for a step: by its part, or by bench:NAME.
step_matches() { [[ $3 == "$2" || $3 == "$2:$1" ]]; }

wanted() {
  local part
  [[ ${#only[@]} -eq 0 ]] && return 0
  for part in "${only[@]}"; do step_matches "$1" "$2" "$part" && return 0; done
  return 1
}

step_matches_any() {
  local line name group
  for line in "${steps[@]}"; do
    IFS='|' read -r name group _ <<<"$line"
    step_matches "$name" "$group" "$1" && return 0
  done
  return 1
}

step_parts() {
  local line name group
  {
    for line in "${steps[@]}"; do
      IFS='|' read -r name group _ <<<"$line"
      echo "$group"
      [[ $group != bench ]] || echo "$group:$name"
    done
  } | awk '!seen[$0]++' | paste -sd' '
}

run_steps() {
  local line name group limit
  for line in "${steps[@]}"; do
    IFS='|' read -r name group limit _ <<<"$line"
    wanted "$name" "$group" || continue
    run_step "$name" "$group" "$limit"
  done
}

# Sets result and detail in the step's function; the code is that of its program.
run_step() {
  local name=$1 group=$2 limit=$3 begun=$SECONDS left code=0
  left=$((seconds - $(elapsed)))
  if [[ $left -lt 10 ]]; then
    record "$name" skipped 0 "no time left of $seconds s"
    return 0
  fi
  [[ $limit -le $left ]] || limit=$left
  detail=
  "step_$group" "$name" "$limit" >"$work/$name.log" 2>&1 || code=$?
  case $code in
    0) result=ok ;;
    77) result=skipped ;;
    124 | 137) result='timed out' detail="after $limit s${detail:+; $detail}" ;;
    *) result=failed detail="${detail:-code $code}" ;;
  esac
  record "$name" "$result" $((SECONDS - begun)) "$detail"
  echo "gpu-check: $name: $result${detail:+, $detail} ($((SECONDS - begun)) s)"
  [[ $result != failed ]] || tail -15 "$work/$name.log" >&2
}

limited() {
  local limit=$1
  shift
  with_libraries timeout -k 5 "$limit" "$@"
}

# How many tests passed; a test that was skipped for want of a GPU has failed.
count_tests() {
  local log=$1 passed skipped failed
  passed=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
  failed=$(sed -n 's/^\[  FAILED  \] \([0-9]*\) test.*, listed below.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
  skipped=$(sed -n 's/^\[  SKIPPED \] \([0-9]*\) test.*/\1/p' "$log" | awk '{ n += $1 } END { print n + 0 }')
  detail="$passed passed, $skipped skipped, $failed failed"
  if grep -qE 'CUDA finds no device|this build has no CUDA' "$log"; then
    detail+='; the GPU was not found'
    return 1
  fi
}

# Progress lines hidden in the log make it huge.
run_gtest() {
  local limit=$1 log=$work/gtest.out code=0
  shift
  limited "$limit" "$@" --gtest_brief=0 >"$log" 2>&1 || code=$?
  grep -v '^\[ RUN      \]\|^\[       OK \]' "$log" || true
  count_tests "$log" || code=1
  return "$code"
}

step_tests() {
  local ranks code=0
  case $1 in
    kernels) run_gtest "$2" kernels_test ;;
    comm) run_gtest "$2" comm_test ;;
    model) run_gtest "$2" model_test ;;
    comm_mpi)
      for ranks in 1 2 4; do
        run_gtest $(($2 / 3)) mpirun --oversubscribe --bind-to none -n "$ranks" comm_mpi_test || code=$?
        detail="$ranks ranks: $detail"
        [[ $code -eq 0 ]] || return "$code"
      done
      ;;
  esac
}

# Programs come and go; one that stays keeps the driver from starting and ending with each, and writes down the clocks.
step_models() {
  local code=0 watch
  nvidia-smi --query-gpu=clocks.sm,power.draw,temperature.gpu --format=csv,noheader --loop=5 >"$work/clocks.log" 2>&1 &
  watch=$!
  run_gtest "$2" score_gpu_test || code=$?
  kill "$watch" 2>/dev/null || true
  return "$code"
}

step_bench() {
  local lines=$work/$1.jsonl line code=0
  case $1 in
    peers) peers "$2" >"$lines" || code=$? ;;
    kernel_rates) limited "$2" bench_gpu kernels >"$lines" || code=$? ;;
    *) limited "$2" bench_gpu "$1" >"$lines" || code=$? ;;
  esac
  cat "$lines"
  while IFS= read -r line; do
    [[ $line == '{'*'}' ]] && benchmarks+=("$line")
  done <"$lines"
  [[ $1 != peers ]] || compare_with_peers "$lines"
  return "$code"
}

# With the machine's own Python, and its libraries.
peers() {
  if ! python3 -c 'import torch, transformers; assert torch.cuda.is_available()' 2>/dev/null; then
    detail='python3 has no torch with CUDA, or no transformers'
    return 77
  fi
  timeout -k 5 "$1" python3 "$root/perf/peers/transformers_prefill.py"
}

# Our prefill against the fastest of the peer's.
compare_with_peers() {
  local line ours='' theirs='' ms
  for line in "${benchmarks[@]}"; do
    ms=$(json_field "$line" ms)
    case $(json_field "$line" benchmark) in
      prefill) ours=$ms ;;
      peer) [[ -z $ms ]] || theirs=$(printf '%s\n%s\n' "${theirs:-$ms}" "$ms" | sort -g | head -1) ;;
    esac
  done
  [[ -n $ours && -n $theirs ]] || return 0
  line=$(awk -v ours="$ours" -v theirs="$theirs" 'BEGIN { r = theirs / ours
    printf "{\"benchmark\": \"speedup\", \"case\": \"prefill, over the fastest peer\", \"ratio\": %.3f, \"target_ratio\": 3, ", r
    printf "\"met\": %s, \"summary\": \"%.2f times (target 3)\"}", (r >= 3 ? "true" : "false"), r }')
  benchmarks+=("$line")
  detail=$(json_field "$line" summary)
}

# Of every kernel test on the GPU the first instance in f32 and the first in bf16: they are the small ones. Instances that
# do not name their type are taken twice. Tests without a device among their parameters are of the GPU alone by their
# suite. That blocks take what they hold is measured by what is free, which a sanitizer changes; many tiles take long.
small_gpu_tests() {
  with_libraries kernels_test --gtest_list_tests | awk '
    /^[^ ]/ { suite = $1; next }
    { on_gpu = /GetParam\(\) = \(?cuda[,)]?/ || suite ~ /(^|\/)(Device(Memory|Pack|Product)|TileTableTest|CublasProduct)/ }
    on_gpu && $1 !~ /^(BlocksTakeWhatTheyHold|LogitSumsOfManyTiles)/ {
      test = $1; sub("/[^/]*$", "", test)
      type = /(cuda_|\/)f32/ ? "f32" : /(cuda_|\/)bf16/ ? "bf16" : "any"
      if (++count[suite test type] <= (type == "any" ? 2 : 1)) print suite $1 }' | paste -sd:
}

# Where NCCL is 2.30 or newer: it then takes several ranks on one GPU, if told so.
step_nccl() {
  local version
  version=$(with_libraries comm_test --gtest_filter=Nccl.TellsItsVersion --gtest_output=xml:/dev/stdout 2>/dev/null |
    sed -n 's/.*name="nccl" value="\([0-9.]*\)".*/\1/p')
  if [[ $(printf '%s\n2.30\n' "${version:-0}" | sort -V | head -1) != 2.30 ]]; then
    detail="NCCL ${version:-of no known version} takes one rank a GPU"
    return 77
  fi
  NCCL_MULTI_RANK_GPU_ENABLE=1 NCCL_MAX_CTAS=2 CUDA_MODULE_LOADING=EAGER run_gtest "$2" comm_test \
    --gtest_filter='All/NcclRanks.Check/*_2:Nccl.TransfersAreWatched'
}

step_sanitizer() {
  local tool tests code=0
  tool=$(PATH=$PATH:/usr/local/cuda/bin command -v compute-sanitizer || true)
  [[ -n $tool ]] || { detail='no compute-sanitizer here' && return 77; }
  tests=$(small_gpu_tests)
  [[ -n $tests ]] || { detail='no small GPU tests found' && return 1; }
  limited "$2" "$tool" --tool "$1" --error-exitcode 99 kernels_test "--gtest_filter=$tests" >"$work/gtest.out" 2>&1 || code=$?
  grep -v '^\[ RUN      \]\|^\[       OK \]' "$work/gtest.out" || true
  if grep -qiE 'device not supported|LibraryNotLoaded|unable to' "$work/gtest.out"; then
    detail='compute-sanitizer does not work here'
    return 77
  fi
  count_tests "$work/gtest.out" || code=1
  if [[ $code -eq 124 || $code -eq 137 ]] && ! grep -q '=========.*[Ee]rror' "$work/gtest.out"; then
    detail="not done within $2 s, no error until then"
    return 77
  fi
  return "$code"
}
