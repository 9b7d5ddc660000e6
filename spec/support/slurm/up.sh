#!/bin/sh
# up.sh DIR CTLD SLURMD REST [AGE]: a Slurm of one node on 127.0.0.1, as root, in the folder DIR: slurmctld, slurmd and
# slurmrestd on those ports. AGE: seconds that an ended job is remembered (300). It ends with down.sh DIR.
# Its node is called ft<SLURMD>, for so is its cgroup, if the kernel has version 1 of them: then memory is limited.
# With OWNER in the environment it also ends when the process with that id does.
# up.sh DIR: slurmctld again, where it was ended.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
dir=$(cd "$1" && pwd)
export SLURM_CONF="$dir/slurm.conf"

start() { # NAME PROGRAM ARGUMENT...: in a session of its own, its id in run/NAME
  name=$1
  shift
  setsid "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
  echo $! >"$dir/run/$name"
}

until_is() { # COMMAND...: it succeeds within 10 s
  n=0
  until "$@"; do
    n=$((n + 1))
    [ $n -lt 200 ] || {
      echo "up.sh: not up after 10 s: $*" >&2
      tail -n 5 "$dir"/log/* >&2
      exit 1
    }
    sleep 0.05
  done
}
answers() { scontrol ping 2>/dev/null | grep -q UP; }
idle() { sinfo -h -o %t 2>/dev/null | grep -q -e idle -e mix; }

if [ $# -eq 1 ]; then
  start slurmctld slurmctld -D
  until_is answers
  exit
fi
mkdir -p "$dir/state" "$dir/spool" "$dir/log" "$dir/run"
chmod 755 "$dir"
head -c 32 /dev/urandom >"$dir/jwt.key"
chmod 600 "$dir/jwt.key"
task=task/none
if [ -e /sys/fs/cgroup/memory/memory.limit_in_bytes ] && mkdir "/sys/fs/cgroup/memory/ft$3" 2>/dev/null; then
  rmdir "/sys/fs/cgroup/memory/ft$3"
  task=task/cgroup
  printf '%s\n' CgroupMountpoint=/sys/fs/cgroup CgroupPlugin=cgroup/v1 ConstrainRAMSpace=yes >"$dir/cgroup.conf"
fi
sed -e "s#@DIR@#$dir#g" -e "s#@CTLD@#$2#" -e "s#@SLURMD@#$3#" -e "s#@NODE@#ft$3#" -e "s#@TASK@#$task#" \
  -e "s#@AGE@#${5:-300}#" "$here/slurm.conf.in" >"$SLURM_CONF"
start slurmctld slurmctld -D -c
until_is answers
start slurmd slurmd -D -N "ft$3"
until_is idle
# it refuses to run as root; the token is what makes it take those of its callers
SLURM_JWT=daemon start slurmrestd slurmrestd -u nobody -a rest_auth/jwt -s openapi/v0.0.38 "127.0.0.1:$4"
# and one on a Unix socket, which takes whom the kernel names: whoever it runs as
mkdir -p "$dir/socket"
chmod 777 "$dir/socket"
start slurmrestd-local slurmrestd -u nobody -a rest_auth/local -s openapi/v0.0.38 "unix:$dir/socket/rest"
[ -z "${OWNER:-}" ] || setsid sh -c 'while kill -0 "$1" && [ -d "$2/run" ]; do sleep 1; done
  [ ! -d "$2/run" ] || { "$3/down.sh" "$2"; rm -rf "$2"; }' sh "$OWNER" "$dir" "$here" >/dev/null 2>&1 </dev/null &
