#!/bin/bash
# Parameters of the whole kernel, and swap: in mount and network namespaces of their own, where both sysctl.d
# are empty. They get the kernel's defaults for about a second, and are set back at the end in any case. Run by tests/doctor.rs inside `unshare --mount --net`.
# usage: namespaces.sh PROGRAM WORKDIR
set -u
program=$1 work=$2
mkdir -p "$work/state"
mount -t tmpfs tmpfs /usr/lib/sysctl.d
mount -t tmpfs tmpfs /etc/sysctl.d
dd if=/dev/zero of="$work/swapfile" bs=1M count=8 status=none; chmod 600 "$work/swapfile"; mkswap "$work/swapfile" >/dev/null
declare -A old
for key in kernel.pid_max fs.inotify.max_user_instances fs.inotify.max_user_watches vm.max_map_count; do old[$key]=$(sysctl -n $key); done
back() { for key in "${!old[@]}"; do sysctl -q -w $key="${old[$key]}"; done; swapoff "$work/swapfile" 2>/dev/null; rm -f "$work/swapfile"; }
trap back EXIT

doctor() { "$program" --state-dir "$work/state" doctor --profile mongodb "$@"; }
level() { doctor --output json 2>/dev/null | python3 -c "import json,sys; print(next(f['level'] for f in json.load(sys.stdin)['findings'] if f['id']=='$1'))"; }
reboot() { for key in "${!old[@]}"; do sysctl -q -w $key="${broken[$key]:-${old[$key]}}"; done; /usr/lib/systemd/systemd-sysctl; }
declare -A broken=([kernel.pid_max]=32768 [fs.inotify.max_user_instances]=128 [vm.max_map_count]=65530)
for key in "${!broken[@]}"; do sysctl -q -w $key=${broken[$key]}; done

bad=0
for check in inotify pid-limit mongodb-max-map-count; do
    line="$(level $check)"
    doctor --fix $check --yes >/dev/null 2>"$work/err" || cat "$work/err"
    line="$line $(level $check)"; reboot
    line="$line $(level $check)"
    "$program" --state-dir "$work/state" doctor undo >/dev/null 2>"$work/err" || cat "$work/err"
    reboot
    line="$line $(level $check)"
    echo "$check: $line"
    [ "$line" = "warn pass pass warn" ] || bad=1
done
swapon "$work/swapfile"
line="$(level swap)"
doctor --fix swap --yes >/dev/null 2>"$work/err" || cat "$work/err"
line="$line $(level swap)"
"$program" --state-dir "$work/state" doctor undo >/dev/null 2>"$work/err" || cat "$work/err"
line="$line $(level swap)"
echo "swap (active): $line"
[ "$line" = "fail pass fail" ] || bad=1
exit $bad
