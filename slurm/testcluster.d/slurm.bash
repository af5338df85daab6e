#!/usr/bin/env bash
# testcluster: Slurm's configuration and daemons.
# shellcheck disable=SC2154  # state, prefix, member: set before; kind, nodes, cpus: by the commands

# --- configuration ---

write_configuration() {
  local base=0
  [[ $kind == namespaces ]] || base=$(free_ports)
  write_hosts_file >"$state/conf/hosts"
  { write_common_part; "write_part_for_$kind" "$base"; write_partitions; } >"$state/conf/slurm.conf"
  # Nothing here uses cgroups, but slurmd insists on a plugin; the one for v2 would ask systemd, which a container lacks.
  echo "CgroupPlugin=cgroup/v1" >"$state/conf/cgroup.conf"
  # Four GPUs for each node, so that jobs can ask for them. Slurm wants device files, whatever they are; no GPU is behind.
  printf 'Name=gpu File=/dev/%s\n' null zero full random >"$state/conf/gres.conf"
  write_job_environment >"$state/conf/job.env"
  write_task_prolog >"$state/conf/task-prolog"
  chmod +x "$state/conf/task-prolog"
  # slurmd expects its spool folder, the pmix plugin TmpFS.
  local node
  for node in $(node_names); do mkdir "$state/spool/$node" "$state/tmp/$node"; done
}

write_common_part() {
  cat <<END
ClusterName=switchyard
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
# Our own munged. A requeued job waits until credentials have expired, 120 s by default.
AuthType=auth/munge
AuthInfo=socket=$state/munge/socket,cred_expire=5

StateSaveLocation=$state/ctl
SlurmdSpoolDir=$state/spool/%n
SlurmctldLogFile=$state/log/slurmctld.log
SlurmdLogFile=$state/log/%n.log
SlurmctldPidFile=$state/run/slurmctld.pid
SlurmdPidFile=$state/run/%n.pid
JobCompType=jobcomp/filetxt
JobCompLoc=$state/log/jobs.txt
AccountingStorageType=accounting_storage/none
MailProg=/bin/true

MpiDefault=pmix
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
GresTypes=gpu
TaskProlog=$state/conf/task-prolog
# The submitter's limit would not do for MPI's pinned memory; slurmd's own is raised.
PropagateResourceLimitsExcept=MEMLOCK

# CPUs are what this file says, not what the machine has; memory is not managed.
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides

# A node that is silent for 10 s is down, its jobs are requeued, and it is back when it answers. Slurm notices that only after
# some MessageTimeouts, and the end of a preempted job's GraceTime only after KillWait + MessageTimeout.
SlurmdTimeout=10
MessageTimeout=5
ReturnToService=2
JobRequeue=1
KillWait=5
# A finished job can be looked at for an hour.
MinJobAge=3600

PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,bf_window=60
END
}

write_part_for_namespaces() {
  local node
  echo "SlurmctldHost=ctl($(address_of ctl))"
  for node in $(node_names); do
    echo "NodeName=$node NodeAddr=$(address_of "$node") $(node_resources)"
  done
}

# All on this host: told apart by ports, from the given one on.
write_part_for_processes() {
  local port=$1 node
  echo "SlurmctldHost=$(hostname -s)(127.0.0.1)"
  echo "SlurmctldPort=$port"
  echo "TmpFS=$state/tmp/%n"
  for node in $(node_names); do
    echo "NodeName=$node NodeHostname=$(hostname -s) NodeAddr=127.0.0.1 Port=$((++port)) $(node_resources)"
  done
}

node_resources() { echo "CPUs=$cpus RealMemory=$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) Gres=gpu:4 State=UNKNOWN"; }

# A preempted job's steps get CONT and TERM; after GraceTime it is ended and requeued.
write_partitions() {
  cat <<END
PartitionName=batch Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
END
}

# Below the ports that the kernel gives out by itself; another cluster starts elsewhere because its folder's hash differs.
free_ports() {
  local try base
  for try in {0..99}; do
    base=$((21000 + (16#${prefix##*-} + try) % 100 * 100))
    # Only a daemon that listens would disturb.
    (exec 3<>"/dev/tcp/127.0.0.1/$base") 2>/dev/null || { echo "$base"; return; }
  done
  fail 69 "no free ports between 21000 and 31000"
}

# --- what jobs find in their environment ---

# Open MPI between the nodes: TCP, on the one network. The machine may have fewer cores than ranks: those that wait give way.
write_job_environment() {
  local transport=tcp,vader,self interface=eth0
  # On one host, the shared-memory files of several nodes would collide.
  [[ $kind == namespaces ]] || transport=tcp,self interface=lo
  cat <<END
$member=$state
OMPI_MCA_btl=$transport
OMPI_MCA_btl_tcp_if_include=$interface
OMPI_MCA_oob_tcp_if_include=$interface
OMPI_MCA_mpi_yield_when_idle=1
OMPI_MCA_hwloc_base_binding_policy=none
OMPI_MCA_rmaps_base_oversubscribe=1
OMPI_ALLOW_RUN_AS_ROOT=1
OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
END
}

# Slurm runs it before every task and takes over what it prints: so jobs need not bring the environment along.
write_task_prolog() {
  cat <<END
#!/bin/sh
while IFS= read -r line; do
  printenv "\${line%%=*}" >/dev/null || echo "export \$line"
done <$state/conf/job.env
END
}

# The same for whoever is logged in. What is set already stays.
export_environment() {
  local line
  export SLURM_CONF=$state/conf/slurm.conf
  while IFS= read -r line; do
    [[ -v ${line%%=*} ]] || export "${line?}"
  done <"$state/conf/job.env"
}

# --- daemons ---

start_daemons() {
  ulimit -l unlimited 2>/dev/null || true
  start_munged
  on ctl slurmctld -f "$state/conf/slurm.conf" || fail 70 "slurmctld does not start; see $state/log/slurmctld.log"
  local node
  for node in $(node_names); do start_slurmd "$node"; done
}

start_munged() {
  mungekey --create --keyfile="$state/munge/key"
  on ctl munged --socket="$state/munge/socket" --key-file="$state/munge/key" --pid-file="$state/run/munged.pid" \
    --log-file="$state/log/munged.log" --seed-file="$state/munge/seed" || fail 70 "munged does not start; see $state/log/munged.log"
}

start_slurmd() {
  on "$1" slurmd -f "$state/conf/slurm.conf" -N "$1" || fail 70 "slurmd of $1 does not start; see $state/log/$1.log"
}

signal_slurmd() { on "$1" bash -c "kill -$2 $(<"$state/run/$1.pid")"; }

slurmd_runs() { daemon_runs "$1" "$1" slurmd; }

# daemon_runs NAME HOST PROGRAM. The process number in the file may be an old one, used again, and a dead process may linger
# in the table: without its command line.
daemon_runs() {
  [[ -e $state/run/$1.pid ]] && on "$2" grep -qzxF "$3" "/proc/$(<"$state/run/$1.pid")/cmdline" 2>/dev/null
}

wait_for_nodes() {
  within 20 all_nodes_answer || fail 70 "the nodes do not come up: $(node_states | xargs); see $state/log"
}

# NODE STATE, each node on a line. A trailing * marks a node that does not answer.
node_states() { on login timeout 5 sinfo --noheader --Node --partition=batch --format='%N %T' 2>/dev/null || true; }

all_nodes_answer() {
  [[ $(node_states | grep -cE ' (idle|allocated|mixed|completing|reserved|planned)$') -eq $nodes ]]
}

node_answers() { node_states | grep -E "^$1 [a-z]+$" | grep -v down >/dev/null; }

# STATE may be the beginning of it: drain for draining and drained.
node_is() { node_states | grep -E "^$1 $2" >/dev/null; }

# Every slurmstepd has a socket.
has_no_steps() { ! compgen -G "$state/spool/$1/$1_*" >/dev/null; }

set_state() { on login scontrol update nodename="$1" state="$2" reason=testcluster; }

# Daemons run, nodes answer, and no link is cut (Slurm notices that only later).
all_well() {
  local node
  [[ $kind == processes ]] || all_hosts_run || return 1
  daemon_runs munged ctl munged && daemon_runs slurmctld ctl slurmctld || return 1
  for node in $(node_names); do
    slurmd_runs "$node" && [[ $(link_state "$node") != cut ]] || return 1
  done
  all_nodes_answer
}

# --- status ---

show_daemons() {
  local daemon
  for daemon in munged slurmctld; do
    printf '%-10s %s\n' "$daemon" "$(daemon_runs "$daemon" ctl "$daemon" && echo runs || echo dead)"
  done
}

show_nodes() {
  local node known
  printf '\n%-5s %-14s %-7s %-5s %-9s %s\n' NODE STATE SLURMD LINK RATE "CPUS (allocated/idle/other/total)"
  for node in $(node_names); do
    known=$(on login timeout 5 sinfo --noheader --nodes="$node" --partition=batch --format='%T %C' 2>/dev/null || echo '? ?')
    printf '%-5s %-14s %-7s %-5s %-9s %s\n' "$node" "${known% *}" "$(slurmd_runs "$node" && echo runs || echo dead)" \
      "$(link_state "$node")" "$(rate_of "$node")" "${known#* }"
  done
}

show_jobs() {
  echo
  on login timeout 5 squeue --format='%.7i %.9P %.20j %.10T %.8M %.6D %R' 2>/dev/null || echo "the queue cannot be read"
}
