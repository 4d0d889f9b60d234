#!/usr/bin/env bash
# Start a SLURM cluster of one node on loopback with simulated GPUs, for the tests; leave it alone
# where it runs. Root on Debian or Ubuntu.
#
#   tests/cluster/start.sh [--install] [FOLDER]     (default: ${TMPDIR:-/tmp}/laq-cluster)
#   . FOLDER/environment.sh                         (its commands first on the PATH)
#   tests/cluster/stop.sh [FOLDER]
#
# --install fetches the packages that are missing. LAQ_CLUSTER_CPUS and LAQ_CLUSTER_GPUS say what the node
# claims to have (16, 2). All of it lies in FOLDER: keys, sockets, ports of its own, process ids; nothing
# is written to /etc, and a machine that has a SLURM of its own is refused.
set -euo pipefail

install=no
if [ "${1:-}" = --install ]; then
  install=yes
  shift
fi
folder=$(realpath -m "${1:-${TMPDIR:-/tmp}/laq-cluster}")
cpus=${LAQ_CLUSTER_CPUS:-16}
gpus=${LAQ_CLUSTER_GPUS:-2}
packages=(munge slurmctld slurmd slurm-client)
export PATH=$PATH:/usr/sbin:/sbin

# Exit codes: 2 where there can be no cluster, 1 where there could and it did not start.
refuse() {
  echo "no cluster: $1" >&2
  exit 2
}

[ "$(id -u)" = 0 ] || refuse "starting its daemons takes root"
for file in /etc/slurm/slurm.conf /etc/slurm-llnl/slurm.conf; do
  [ ! -e "$file" ] || refuse "this machine has a SLURM of its own ($file)"
done
# A socket's path holds 108 bytes, and sbatch splits its arguments at spaces.
[ ${#folder} -le 80 ] || refuse "the folder's path is too long for a socket: $folder"
case $folder in *[!A-Za-z0-9/._-]*) refuse "the folder's path may hold letters, digits and /._- only: $folder" ;; esac

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  [ $install = yes ] || refuse "packages are missing (--install fetches them): ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  (apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}") >"$log" 2>&1 ||
    { tail -n 5 "$log" >&2; refuse "apt-get could not install: ${missing[*]}"; }
  rm -f "$log"
fi

runs() { # runs NAME: its process id is on record, and still that of this program, and no zombie
  local pid
  pid=$(cat "$folder/run/$1.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$1" ] &&
    grep -q . "/proc/$pid/cmdline"
}
within() { # within SECONDS COMMAND…: try it until it succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || return 1
    sleep 0.05
  done
}
failed() { # failed NAME: the end of its log, and no more
  tail -n 20 "$folder/log/$1.log" >&2 || true
  "$(dirname "$0")/stop.sh" "$folder" >&2 || true
  echo "$1 did not start; its log is $folder/log/$1.log" >&2
  exit 1
}

if runs munged && runs slurmctld && runs slurmd; then
  echo "the cluster runs: . $folder/environment.sh"
  exit 0
fi

# munged wants folders that nobody else can write to.
umask 022
mkdir -p "$folder"/{bin,etc,run,log,devices,spool/controller,spool/node}
chmod 755 "$folder" "$folder"/*

configure() {
  local host device gpu controller_port node_port
  host=$(hostname -s)
  read -r controller_port node_port < <(python3 - <<'PY'
import socket

sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PY
  )

  for ((gpu = 0; gpu < gpus; gpu++)); do
    device=$folder/devices/gpu$gpu
    [ -e "$device" ] || mknod -m 666 "$device" c 1 3 2>/dev/null || : >"$device"
  done
  echo "Name=gpu File=$folder/devices/gpu[0-$((gpus - 1))]" >"$folder/etc/gres.conf"
  : >"$folder/etc/cgroup.conf"

  cat >"$folder/etc/slurm.conf" <<CONF
ClusterName=laq
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$controller_port
SlurmdPort=$node_port
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/spool/controller
SlurmdSpoolDir=$folder/spool/node
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
# No cgroups: memory is watched by polling.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=1,sched_interval=1
GresTypes=gpu
AccountingStorageType=accounting_storage/none
# The cluster's own record of who held which GPU, for the tests.
Prolog=$folder/etc/prolog.sh
Epilog=$folder/etc/epilog.sh
# CPUs and memory are what is written below, not what the machine has.
SlurmdParameters=config_overrides
MinJobAge=600
KillWait=3
ReturnToService=2
# What the node can never give is refused at once instead of waiting for ever.
EnforcePartLimits=ALL
NodeName=laq NodeHostname=$host NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=262144 Gres=gpu:$gpus State=UNKNOWN
PartitionName=main Nodes=laq Default=YES MaxTime=1-0 DefaultTime=10 DefMemPerCPU=512 State=UP
PartitionName=gpu Nodes=laq Default=NO MaxTime=1-0 DefaultTime=10 DefMemPerCPU=512 State=UP
CONF
}
# A daemon that still runs knows the ports of the others.
runs munged || runs slurmctld || runs slurmd || configure

for event in prolog epilog; do
  cat >"$folder/etc/$event.sh" <<RECORD
#!/bin/sh
echo "$event \$SLURM_JOB_ID \$(date +%s.%N) \${SLURM_JOB_GPUS:-none}" >>$folder/log/jobs.txt
RECORD
  chmod 755 "$folder/etc/$event.sh"
done

# Snakemake's job step drops SLURM_* from the environment, SLURM_CONF too: the commands know it themselves.
for command in sbatch squeue scancel scontrol sinfo srun sacct sacctmgr sshare; do
  program=$(PATH=/usr/bin:/usr/local/bin command -v $command) || continue
  printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$folder/etc/slurm.conf" "$program" >"$folder/bin/$command"
  chmod 755 "$folder/bin/$command"
done
cat >"$folder/environment.sh" <<ENVIRONMENT
export PATH=$folder/bin:\$PATH
ENVIRONMENT
export PATH=$folder/bin:$PATH SLURM_CONF=$folder/etc/slurm.conf

if ! runs munged; then
  key=$folder/etc/munge.key
  [ -s "$key" ] || (umask 077 && dd if=/dev/urandom of="$key" bs=1024 count=1 status=none)
  rm -f "$folder"/run/munge.socket*
  munged --key-file="$key" --socket="$folder/run/munge.socket" --pid-file="$folder/run/munged.pid" \
    --log-file="$folder/log/munged.log" --seed-file="$folder/run/munge.seed" --num-threads=2 || failed munged
fi
within 10 munge --socket="$folder/run/munge.socket" --no-input || failed munged
if ! runs slurmctld; then
  slurmctld -f "$SLURM_CONF" >>"$folder/log/slurmctld.log" 2>&1 || failed slurmctld
fi
within 15 sh -c "scontrol ping | grep -q ' is UP'" || failed slurmctld
if ! runs slurmd; then
  slurmd -f "$SLURM_CONF" >>"$folder/log/slurmd.log" 2>&1 || failed slurmd
fi
ready() { sinfo --noheader --format=%T | sort -u | grep -Eqx '(idle|mixed|allocated)'; }
# After an unclean stop the node is down until it is told that it is well.
within 5 ready || scontrol update NodeName=laq State=RESUME || true
within 10 ready || failed slurmd
echo "the cluster runs: . $folder/environment.sh"
