# Fills the file system of /target until so many percent of it are used, and holds that for some seconds, at most until a deadline.
# disk.sh UNTIL SECONDS PERCENT AT_MOST
# The file has no name any more when it grows: whatever ends this process, the kernel gives the space back.
set -u
until=$1 seconds=$2 percent=$3 at_most=$4
trap 'say "released"; exit 0' TERM INT
[ "$(date +%s)" -lt "$until" ] || exit 0
say "applying"
set -- $(stat -f -c '%S %b %a' /target)
size=$1 blocks=$2 free=$3
bytes=$(( (blocks * percent / 100 - (blocks - free)) * size ))
if [ "$bytes" -le 0 ]; then say "failed: $(( (blocks - free) * 100 / blocks )) % are used already"; exit 1; fi
if [ "$bytes" -gt "$at_most" ]; then say "failed: it takes $((bytes >> 20)) MiB to fill $percent % of this disk, and $((at_most >> 20)) MiB are allowed (--at-most)"; exit 1; fi
exec 3> /target/.cncfdemo-chaos && rm /target/.cncfdemo-chaos
trouble=$(fallocate -l "$bytes" /proc/self/fd/3 2>&1) || trouble=$(head -c "$bytes" /dev/zero 2>&1 >&3) || { say "failed: $trouble"; exit 1; }
say "applied"
begin
hold
say "released"
