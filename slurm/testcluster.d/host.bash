#!/usr/bin/env bash
# testcluster: the first process of a host, in its fresh namespaces.
# usage: host.bash NAME STATE SHARED-FOLDER...
set -euo pipefail
name=$1 state=$2
shift 2

# A fresh FOLDER, in which shared folders below it appear as before.
private_folder() {
  local folder=$1 stage=$state/tmp shared
  shift
  mount -t tmpfs -o mode=1777 "testcluster-$name" "$stage"
  for shared; do
    [[ $shared == "$folder"/* ]] || continue
    mkdir -p "$stage/${shared#"$folder"/}"
    mount --bind "$shared" "$stage/${shared#"$folder"/}"
  done
  mount --move "$stage" "$folder"
}

# What the outside calls this process, while /proc is still the outer one.
read -r pid _ </proc/self/stat

hostname "$name"
mount --bind "$state/conf/hosts" /etc/hosts
if [[ $name != login ]]; then  # login shares the machine's: its user starts from there
  mount -t proc proc /proc
  private_folder /tmp "$@"
  private_folder /dev/shm "$@"
fi

# Moved, so that whoever waits for the file finds it whole.
echo "$pid" >"$state/run/$name.init.new"
mv "$state/run/$name.init.new" "$state/run/$name.init"

# Orphans become this process's children; the kernel buries the children of one that ignores SIGCHLD.
exec env --ignore-signal=CHLD sleep infinity
