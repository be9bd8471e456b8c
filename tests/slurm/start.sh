#!/usr/bin/env bash
# Slurm on this machine alone, to try launcher=slurm: one node, one partition, nothing outside loopback.
# As root on Debian or Ubuntu. Writes to /etc/slurm and /var: for a container, not for a workstation.
set -euo pipefail
if ! command -v slurmctld >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurm-wlm munge
fi
host=$(hostname -s)
mkdir -p /etc/slurm /run/munge /var/lib/jojoscl-slurm/{state,spool} /var/log/slurm
[ -s /etc/munge/munge.key ] || (umask 077 && head -c 1024 /dev/urandom >/etc/munge/munge.key)
chown -R munge: /etc/munge /run/munge
cat >/etc/slurm/slurm.conf <<CONF
ClusterName=jojoscl
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=/var/lib/jojoscl-slurm/state
SlurmdSpoolDir=/var/lib/jojoscl-slurm/spool
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.log
# A container has no cgroups of its own to hand out.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ {print $2}' /proc/meminfo) / 1024 * 9 / 10)) State=UNKNOWN
PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
# Nor is any asked for, but slurmd 22.05 starts only with a cgroup plugin; later ones have CgroupPlugin=disabled.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  printf 'CgroupPlugin=cgroup/v2\nIgnoreSystemd=yes\n' >/etc/slurm/cgroup.conf
else
  echo 'CgroupPlugin=cgroup/v1' >/etc/slurm/cgroup.conf
fi
pgrep -x munged >/dev/null || su -s /bin/sh munge -c /usr/sbin/munged
pgrep -x slurmctld >/dev/null || slurmctld
pgrep -x slurmd >/dev/null || slurmd
for _ in $(seq 30); do
  sinfo -h -o %t 2>/dev/null | grep -qE '^(idle|mix|alloc)' && exec sinfo
  sleep 1
done
tail -n 20 /var/log/slurm/*.log >&2
exit 1
