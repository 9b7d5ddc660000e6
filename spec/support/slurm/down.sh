#!/bin/sh
# down.sh DIR: ends what up.sh DIR started: its daemons, by their ids, then whatever of its jobs is left, by the
# SLURM_CONF in their environment.
dir=$(cd "$1" && pwd) || exit 0
for name in slurmrestd slurmrestd-local slurmctld slurmd; do
  [ ! -f "$dir/run/$name" ] || kill -9 "$(cat "$dir/run/$name")" 2>/dev/null
  rm -f "$dir/run/$name"
done
for environ in /proc/[0-9]*/environ; do
  pid=${environ#/proc/}
  pid=${pid%/environ}
  set -- "$(cat "$environ" 2>/dev/null | tr "\0" "\n")"
  case "
$1
" in
  *"
SLURM_CONF=$dir/slurm.conf
"*) ;;
  *) continue ;;
  esac
  case "$(cat "/proc/$pid/comm" 2>/dev/null) $1" in
  slurmstepd* | *SLURM_JOB_ID=*) kill -9 "$pid" 2>/dev/null ;;
  esac
done
node=$(sed -n 's/^NodeName=\([^ ]*\).*/\1/p' "$dir/slurm.conf" 2>/dev/null)
[ -z "$node" ] || find /sys/fs/cgroup/*/"slurm_$node" -depth -type d -exec rmdir {} \; 2>/dev/null
exit 0
