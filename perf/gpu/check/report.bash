#!/usr/bin/env bash
# gpu-check: results, kept as they come; the table and gpu-check.json at the end.
# shellcheck disable=SC2154  # out: set by gpu-check

results=()     # name|result|seconds|detail
benchmarks=()  # JSON lines
machine=()     # name|value

begin() {
  started=$SECONDS
  mkdir -p "$out"
  rm -f "$out"/gpu-check.{json,log,txt}
  work=$(mktemp -d "${TMPDIR:-/tmp}/gpu-check-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  local missing gpu commit
  missing=$(missing_here)
  [[ -z $missing ]] || die 69 $'missing here:\n'"$missing"
  stage_programs || die 69 "the programs could not be built"
  set_environment
  gpu=$(gpu_name) commit=$(commit_of_programs)
  machine=("gpu|${gpu%%,*}" "driver|$(cut -d, -f2 <<<"$gpu" | tr -d ' ')" "commit|$commit" "date|$(date -u +%FT%TZ)"
    "kernel|$(uname -r)" "glibc|$(own_glibc)" "cores|$(nproc)")
  echo "gpu-check: $gpu, commit $commit, staged after $(elapsed) s"
}

# A JSON string. Control characters become spaces.
json_string() {
  local text=${1//\\/\\\\}
  text=${text//\"/\\\"}
  printf '"%s"' "$(printf %s "$text" | tr '\000-\037' ' ')"
}

# The string or number at a key of a flat JSON line.
json_field() {
  local text=", ${1#\{}" pattern="[,{] *\"$2\": *(\"([^\"]*)\"|([^,}]*))"
  [[ $text =~ $pattern ]] || return 0
  printf %s "${BASH_REMATCH[2]:-${BASH_REMATCH[3]}}"
}

record() { results+=("$1|$2|$3|${4//|/ }"); }

# Seconds since the start of everything.
elapsed() { echo $((SECONDS - started)); }

bench_rows() {
  local line name what summary mark
  for line in "${benchmarks[@]}"; do
    name=$(json_field "$line" benchmark) what=$(json_field "$line" case) summary=$(json_field "$line" summary)
    [[ $name == machine ]] && continue
    mark=
    [[ $(json_field "$line" met) == false ]] && mark='  BELOW TARGET'
    printf '  %-10s %s: %s%s\n' "$name" "$what" "$summary" "$mark"
  done
}

print_table() {
  local line name result time detail
  echo
  [[ ${#benchmarks[@]} -gt 0 ]] && echo 'benchmarks (shares are of the ceilings measured in the same process):' && bench_rows && echo
  printf '%-16s %-10s %6s  %s\n' step result s detail
  for line in "${results[@]}"; do
    IFS='|' read -r name result time detail <<<"$line"
    printf '%-16s %-10s %6s  %s\n' "$name" "$result" "$time" "$detail"
  done
}

write_json() {
  local line name result time detail value comma=
  {
    printf '{\n'
    for line in "${machine[@]}"; do
      IFS='|' read -r name value <<<"$line"
      printf '  %s: %s,\n' "$(json_string "$name")" "$(json_string "$value")"
    done
    printf '  "seconds": %s,\n  "steps": [' "$(elapsed)"
    for line in "${results[@]}"; do
      IFS='|' read -r name result time detail <<<"$line"
      printf '%s\n    {"step": %s, "result": %s, "seconds": %s, "detail": %s}' "$comma" "$(json_string "$name")" \
        "$(json_string "$result")" "$time" "$(json_string "$detail")"
      comma=,
    done
    printf '\n  ],\n  "benchmarks": ['
    comma=
    for line in "${benchmarks[@]}"; do
      printf '%s\n    %s' "$comma" "$line"
      comma=,
    done
    printf '\n  ]\n}\n'
  } >"$out/gpu-check.json.tmp"
  mv "$out/gpu-check.json.tmp" "$out/gpu-check.json"
}

# All logs in one file, so that the folder stays flat and small.
write_log() {
  local log
  for log in "$work"/*.log; do
    [[ -s $log ]] || continue
    printf '===== %s\n' "$(basename "$log" .log)"
    cat "$log"
  done >"$out/gpu-check.log"
}

# Ends with 1 if anything failed, or if nothing ran.
finish() {
  write_json
  write_log
  print_table | tee "$out/gpu-check.txt"
  local line ran=0 failed=0
  for line in "${results[@]}"; do
    case $line in
      *'|ok|'*) ran=$((ran + 1)) ;;
      *'|skipped|'*) ;;
      *) failed=$((failed + 1)) ;;
    esac
  done
  echo "$ran steps passed, $failed failed, $(elapsed) s; details in $out"
  [[ $failed -eq 0 && $ran -gt 0 ]]
}
