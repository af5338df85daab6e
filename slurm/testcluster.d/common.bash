#!/usr/bin/env bash
# testcluster: state folder, messages, finding and ending the cluster's processes.
# shellcheck disable=SC2154  # kind, nodes, cpus, parameters, why_processes: set by the commands

# Debian keeps daemons and ip out of an ordinary user's path.
PATH=$PATH:/usr/sbin:/sbin

state=$(realpath -m "${TESTCLUSTER_STATE:-/var/tmp/switchyard-testcluster}")
# Names this cluster's network namespaces; a hash, because the folder's path is too long and two clusters may be up.
prefix=switchyard-$(printf %s "$state" | cksum | { read -r sum _; printf %08x "$sum"; })
# In the environment of every process of the cluster: so they are found when all else is lost.
member=TESTCLUSTER_MEMBER

say() { echo "testcluster: $state $*"; }

fail() {
  local code=$1
  shift
  echo "testcluster: $*" >&2
  exit "$code"
}

# Polls COMMAND for SECONDS; fails if it never succeeds.
within() {
  local deadline=$((SECONDS + $1 + 1))
  shift
  until "$@"; do
    [[ $SECONDS -lt $deadline ]] || return 1
    sleep 0.05
  done
}

# OPTION VALUE … MAXIMUM: the value, if it is a number from 1 to the maximum (the last argument).
whole_number() {
  local maximum=${*: -1}
  [[ $# -ge 3 && $2 =~ ^[1-9][0-9]{0,4}$ && $2 -le $maximum ]] || fail 64 "$1 must be a whole number from 1 to $maximum"
  echo "$2"
}

shared_folder() {
  [[ $# -ge 2 && -d $2 ]] || fail 64 "--share needs a folder that exists${2:+, not $2}"
  realpath "$2"
}

# --- packages ---

require_packages() {
  local -A package_of=([slurmctld]=slurm-wlm [slurmd]=slurm-wlm [srun]=slurm-wlm [munged]=munge [mungekey]=munge
                       [nsenter]=util-linux [hostname]=hostname)
  [[ $kind == processes ]] || package_of+=([ip]=iproute2 [tc]=iproute2)
  local program missing=()
  for program in "${!package_of[@]}"; do
    command -v "$program" >/dev/null || missing+=("${package_of[$program]}")
  done
  # Slurm's pmix plugin opens the unversioned name, which is in the development package.
  compgen -G '/usr/lib/*/libpmix.so' >/dev/null || missing+=(libpmix-dev)
  [[ ${#missing[@]} -eq 0 ]] || fail 69 "packages are missing: apt-get install $(printf '%s\n' "${missing[@]}" | sort -u | xargs)"
}

# --- the state folder ---

# Slurm's configuration does not take every path, and sockets not a long one.
check_state_folder_name() {
  [[ $state =~ ^[A-Za-z0-9/._-]{2,70}$ ]] ||
    fail 64 "TESTCLUSTER_STATE must be a path of at most 70 letters, digits, and . _ - /; not '$state'"
}

# Until this script ends; so that up, down and heal do not meet. The folder itself is the lock: no file is left behind.
lock_state_folder() {
  mkdir -p "$state" || fail 73 "cannot make $state; TESTCLUSTER_STATE names another folder"
  [[ -O $state ]] || fail 73 "$state belongs to $(stat -c %U "$state"); TESTCLUSTER_STATE names another folder"
  [[ -e $state/.testcluster || -z $(ls -A "$state") ]] || fail 73 "$state is not empty and not a test cluster's"
  exec 9<"$state"
  flock --timeout 60 9 || fail 69 "another testcluster command is busy with $state"
  # Whoever held the lock may have removed the folder.
  [[ $state -ef /proc/self/fd/9 ]] || lock_state_folder
}

# Makes the locked folder ours, before anything else happens: `down` removes only what carries the mark.
claim_state_folder() {
  touch "$state/.testcluster"
  find "$state" -mindepth 1 -maxdepth 1 ! -name .testcluster -exec rm -rf -- {} +
  chmod 755 "$state"
  mkdir "$state"/{conf,log,run,spool,tmp,munge,ctl}
}

remove_state_folder() {
  [[ ! -e $state/.testcluster ]] || rm -rf -- "$state"
  rmdir "$state" 2>/dev/null || true
}

# Written when all is up: line 1 for comparison, line 2 for people.
save_parameters() { printf '%s\n' "$parameters" "$why_processes" >"$state/parameters"; }

load_parameters() {
  { read -r kind nodes cpus _ && IFS= read -r why_processes; } <"$state/parameters"
}

require_up() {
  [[ -e $state/parameters ]] || fail 1 "$state is not up"
  [[ -O $state ]] || fail 69 "$state belongs to $(stat -c %U "$state"), and only that user can use the cluster"
  load_parameters
}

require_node() {
  [[ $1 =~ ^n[1-9][0-9]*$ && ${1#n} -le $nodes ]] || fail 64 "there is no node '$1', only n1 to n$nodes"
}

one_node() {
  [[ $# -eq 2 ]] || fail 64 "$1 needs one node; see testcluster --help"
  require_up
  require_node "$2"
}

describe() {
  echo "nodes $(node_names | xargs), $cpus CPUs each"
  [[ $kind == namespaces ]] || cat <<END
The nodes are processes on this host, $why_processes.
This cannot test: cut, heal, limit, and anything that depends on host names or on /tmp and /dev/shm of each node's own.
END
}

# --- the cluster's processes ---

refuse_inside() {
  [[ ${TESTCLUSTER_MEMBER:-} != "$state" ]] || fail 64 "this process is part of the cluster $state; leave it first"
}

# All processes of the cluster, however it came to be: those in its network namespaces; those with its mark, and the step
# daemons; and the descendants of these, because a job's environment may lack the mark.
members() {
  local namespace
  {
    for namespace in $(namespaces); do ip netns pids "$namespace" 2>/dev/null || true; done
    { marked_processes; step_daemons; } | with_descendants
  } | sort -un
}

marked_processes() { grep -lszxF "$member=$state" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

# They write their title over their environment; they are known by where they stand.
step_daemons() {
  local file
  { grep -lsx slurmstepd /proc/[0-9]*/comm || true; } | while read -r file; do
    [[ $(readlink "${file%comm}cwd") != "$state"/* ]] || cut -d/ -f3 <<<"$file"
  done
}

with_descendants() {
  { cat - /proc/[0-9]*/status 2>/dev/null || true; } |
    awk '/^[0-9]+$/ { wanted[$1] = 1 } /^Pid:/ { pid = $2 } /^PPid:/ { parent[pid] = $2 }
         END { for (pid in parent)
                 for (p = pid; p > 1; p = parent[p])
                   if (p in wanted) { print pid; break } }'
}

namespaces() {
  local file
  for file in "/run/netns/$prefix"-*; do [[ ! -e $file ]] || basename "$file"; done
}

anything_left() { [[ -n $(namespaces) || -n $(members) ]]; }

# From whatever state: a cluster that is up, one that SIGKILL interrupted, or what a reboot left.
end_everything() {
  within 10 kill_members || fail 70 "processes that do not end: $(members | xargs)"
  local namespace
  for namespace in $(namespaces); do ip netns delete "$namespace"; done
}

# Again until none is left: they may have children meanwhile.
kill_members() {
  local pids
  mapfile -t pids < <(members)
  [[ ${#pids[@]} -gt 0 ]] || return 0
  kill -KILL "${pids[@]}" 2>/dev/null || true
  return 1
}
