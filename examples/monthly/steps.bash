# Steps of a chain, for scripts that are resumed. Within a batch job all its ranks work on a run.
here=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
switchyard=${SWITCHYARD:-switchyard} python=${PYTHON:-python3}
export PYTHONPATH=$here/../common PYTHONDONTWRITEBYTECODE=1
launch=()
if [[ -n ${SLURM_JOB_ID:-} ]]; then launch=(srun --mpi=pmix --kill-on-bad-exit=1); fi

say() { printf '%s  %s\n' "$(basename "$PWD")" "$*"; }

# A run of the program: step RUN JOB OPTIONS. A batch job that is told to stop is requeued.
step() {
  local run=$1 rc=0
  shift
  say "$run"
  "${launch[@]}" "$switchyard" "$@" --run "$run" --quiet >/dev/null || rc=$?
  [[ $rc -ne 0 ]] || return 0
  if [[ -n ${SLURM_JOB_ID:-} && $("$switchyard" settle "$run" --rc "$rc") == requeue ]]; then
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60 # Slurm ends this script
  fi
  exit "$rc"
}

# A file that a command writes, whole or not at all: made FILE COMMAND.
made() {
  [[ ! -e $1 ]] || return 0
  say "$1"
  "${@:2}" >/dev/null
}

# The same of a command's words; FILE is there when it is whole.
put() {
  cat >"$1.new"
  sync "$1.new"
  mv "$1.new" "$1"
}
