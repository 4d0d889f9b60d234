#!/usr/bin/env bash
# Stop what start.sh started in FOLDER, by the process ids it left there, never by name.
#
#   tests/cluster/stop.sh [FOLDER] [--purge]        --purge removes the folder as well
set -u
folder=$(realpath -m "${1:-${TMPDIR:-/tmp}/laq-cluster}")
[ -d "$folder/run" ] || { echo "no cluster in $folder"; exit 0; }
export PATH=$folder/bin:$PATH

alive() { # alive PID NAME: that program, and no zombie
  [ "$(cat "/proc/$1/comm" 2>/dev/null)" = "$2" ] && grep -q . "/proc/$1/cmdline" 2>/dev/null
}
stop() { # stop NAME: politely, and after ten seconds not
  local pid
  pid=$(cat "$folder/run/$1.pid" 2>/dev/null) || return 0
  if alive "$pid" "$1"; then
    kill "$pid"
    for _ in $(seq 100); do alive "$pid" "$1" || break; sleep 0.1; done
    ! alive "$pid" "$1" || kill -KILL "$pid"
  fi
  rm -f "$folder/run/$1.pid"
}

# Jobs first, so that no step outlives its node.
if [ -s "$folder/run/slurmctld.pid" ]; then
  timeout 10 scancel --user="$(id -un)" 2>/dev/null
  for _ in $(seq 100); do
    [ -n "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break
    sleep 0.1
  done
fi
for name in slurmd slurmctld munged; do stop "$name"; done
[ "${2:-}" != --purge ] || rm -rf "$folder"
echo "the cluster in $folder is stopped"
