#!/usr/bin/env bash
# testcluster: hosts, the switch between them, and their links.
#
# kind=namespaces: ctl (slurmctld, munged), login and the nodes n1, n2, ... are sets of namespaces, each kept by a sleeping
# first process; the switch is a network namespace with nothing but a bridge.
# kind=processes: all of them are this host.
# shellcheck disable=SC2154  # here, state, prefix: set before; nodes: by the commands

# Decides $kind; $why_processes says why there are no namespaces.
choose_kind() {
  kind=processes
  why_processes=$1
  local refusal
  if [[ -n $why_processes ]]; then
    return
  elif [[ $(id -u) -ne 0 ]]; then
    why_processes="since only root can make namespaces with networks"
  elif command -v ip >/dev/null && ! refusal=$(probe_namespaces 2>&1); then
    why_processes="since namespaces cannot be made here (${refusal##*$'\n'})"
  else
    kind=namespaces
  fi
}

probe_namespaces() {
  unshare --net --uts --ipc --mount --pid --fork bash -c \
    'ip link add name switch type bridge && ip link add name a type veth peer name b && mount -t tmpfs none /tmp'
}

host_names() {
  echo ctl login
  node_names
}

node_names() { seq -f n%g "$nodes"; }

address_of() {
  case $1 in
    ctl) echo 10.88.0.254 ;;
    login) echo 10.88.0.253 ;;
    *) echo "10.88.0.${1#n}" ;;
  esac
}

write_hosts_file() {
  local host
  echo "127.0.0.1 localhost"
  for host in $(host_names); do echo "$(address_of "$host") $host"; done
}

# Of the folders on standard input, those that nodes would not see.
below_private_folders() { grep -E '^/(tmp|dev/shm)/' || true; }

require_hosts_of_their_own() {
  [[ $kind == namespaces ]] || fail 69 "$1 needs nodes with networks of their own; here they are processes on one host"
}

# --- starting ---

# Arguments: folders that all nodes shall see even below /tmp or /dev/shm.
start_hosts() {
  [[ $kind == namespaces ]] || return 0
  start_switch
  local host
  for host in $(host_names); do start_host "$host" "$@"; done
  within 5 all_hosts_run || fail 70 "a host did not start; see $state/log/*.host"
}

start_switch() {
  ip netns add "$prefix-switch"
  ip -n "$prefix-switch" link add name switch type bridge forward_delay 0
  ip -n "$prefix-switch" link set switch up
}

# Its network first: so every process of the cluster is, from its first moment, in a namespace that `down` finds by name.
start_host() {
  local host=$1 own=(--uts --ipc --mount --propagation slave)  # mounts appear inside when made outside, not the reverse
  shift
  ip netns add "$prefix-$host"
  connect "$host"
  # Process numbers of its own: `pkill` on a node reaches that node only, and all processes end with the first. Not on login,
  # whose users may want to signal what they started there.
  [[ $host == login ]] || own+=(--pid --fork)
  # nsenter, because `ip netns exec` would mount a /sys of its own.
  setsid nsenter --net="/run/netns/$prefix-$host" unshare "${own[@]}" bash "$here/testcluster.d/host.bash" "$host" "$state" "$@" \
    </dev/null >"$state/log/$host.host" 2>&1 9>&- &
}

connect() {
  ip -n "$prefix-switch" -batch - <<END
link add name $1 type veth peer name eth0 netns $prefix-$1
link set $1 master switch up
END
  ip -n "$prefix-$1" -batch - <<END
link set lo up
address add $(address_of "$1")/24 dev eth0
link set eth0 up
END
}

all_hosts_run() {
  local host
  for host in $(host_names); do first_process "$host" >/dev/null || return 1; done
}

# The number may be an old one, used again: its network tells.
first_process() {
  local pid
  [[ -e $state/run/$1.init ]] || return 1
  pid=$(<"$state/run/$1.init")
  [[ /proc/$pid/ns/net -ef /run/netns/$prefix-$1 ]] || return 1
  echo "$pid"
}

# --- running things on a host ---

# on HOST COMMAND…: a daemon, or a short command of testcluster itself. In a subshell, because testcluster must not carry the
# cluster's mark: it would take its own helpers for members.
on() {
  local host=$1 pid
  shift
  if [[ $kind == processes ]]; then
    (export_environment; exec "$@" 9>&-)
    return
  fi
  pid=$(first_process "$host") || { echo "testcluster: host $host is gone; testcluster up builds it again" >&2; return 1; }
  (export_environment; exec nsenter --target "$pid" --net --uts --ipc --mount --pid -- "$@" 9>&-)
}

# enter HOST COMMAND…: becomes COMMAND there, in this folder, with the environment of a user who is logged in.
enter() {
  local host=$1 pid into=(--net --uts --ipc --mount)
  shift
  export_environment
  if [[ $kind == processes ]]; then
    [[ $host == login ]] || export SLURMD_NODENAME=$host
    exec "$@"
  fi
  pid=$(first_process "$host") || fail 1 "host $host is gone; testcluster up builds it again"
  # With process numbers of its own the command becomes a child of nsenter: it shall end with it.
  [[ $host == login ]] || { into+=(--pid); set -- setpriv --pdeathsig TERM -- "$@"; }
  # shellcheck disable=SC2016  # expands inside
  local go_there='cd "$1" 2>/dev/null || { cd /tmp; echo "testcluster: $HOSTNAME has no $1; this is /tmp" >&2; }; shift; exec "$@"'
  exec nsenter --target "$pid" "${into[@]}" -- bash -c "$go_there" - "$PWD" "$@"
}

# --- links ---

# At the switch, as if the cable were pulled there.
set_link() { ip -n "$prefix-switch" link set "$1" "$2"; }

link_state() {
  [[ $kind == namespaces ]] || { echo -; return; }
  [[ $(ip -n "$prefix-switch" -oneline link show "$1" 2>/dev/null) =~ [\<,]UP[,\>] ]] && echo up || echo cut
}

# In both directions; each end limits what it sends.
set_rate() {
  local node=$1 rate=$2
  if [[ $rate == none ]]; then
    tc -n "$prefix-switch" qdisc delete dev "$node" root 2>/dev/null || true
    tc -n "$prefix-$node" qdisc delete dev eth0 root 2>/dev/null || true
    return
  fi
  [[ $rate =~ ^[0-9]+(\.[0-9]+)?[kmgt]?bit$ ]] || fail 64 "a rate is a number with bit, kbit, mbit or gbit, or none; not '$rate'"
  local limit=(root tbf rate "$rate" burst 256kb latency 50ms)
  tc -n "$prefix-switch" qdisc replace dev "$node" "${limit[@]}" || fail 69 "this kernel cannot limit a link (tc says why above)"
  tc -n "$prefix-$node" qdisc replace dev eth0 "${limit[@]}"
}

rate_of() {
  [[ $kind == namespaces ]] || { echo -; return; }
  [[ $(tc -n "$prefix-switch" qdisc show dev "$1" 2>/dev/null) =~ rate\ ([^ ]+) ]] && echo "${BASH_REMATCH[1]}" || echo -
}
