#!/bin/bash
# A Debian machine with nine traps, booted twice by systemd-nspawn: seen to fail, mended, seen to pass; after a reboot seen to
# pass still, all taken back, seen to fail again. Run by tests/doctor.rs.
# usage: nspawn.sh PROGRAM ROOTFS WORKDIR
#   ROOTFS: mmdebstrap --variant=minbase --include=systemd,systemd-sysv,dbus,iproute2,procps,kmod,iptables bookworm ROOTFS
set -eu
program=$(realpath "$1") base=$(realpath "$2") work=$3
mkdir -p "$work"/{up,work,m}; m=$work/m
mount -t overlay overlay -o "lowerdir=$base,upperdir=$work/up,workdir=$work/work" "$m"
trap 'umount "$m"' EXIT
mkdir -p "$m"/etc/{containerd,sysctl.d,tmpfiles.d} "$m"/var/lib/kubelet "$m"/etc/systemd/system/{containerd.service.d,multi-user.target.wants} "$m"/result
cat > "$m/etc/sysctl.d/50-kubernetes.conf" <<'X'
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
net.ipv4.ip_forward = 1
X
cat > "$m/usr/lib/sysctl.d/99-z-hardening.conf" <<'X'
net.bridge.bridge-nf-call-iptables = 0
net.bridge.bridge-nf-call-ip6tables = 0
net.ipv4.ip_forward = 0
net.ipv4.conf.all.rp_filter = 1
X
echo 'net.ipv4.ip_local_port_range = 1024 65535' > "$m/etc/sysctl.d/60-tuning.conf"
echo 'UUID=11111111-2222-3333-4444-555555555555 none swap sw,nofail 0 0' > "$m/etc/fstab"
cat > "$m/etc/containerd/config.toml" <<'X'
version = 2
disabled_plugins = ["cri"]
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = false
X
printf 'kind: KubeletConfiguration\ncgroupDriver: systemd\n' > "$m/var/lib/kubelet/config.yaml"
printf '[Service]\nEnvironment="HTTPS_PROXY=http://proxy.example:3128"\nEnvironment="NO_PROXY=localhost"\n' > "$m/etc/systemd/system/containerd.service.d/proxy.conf"
printf 'd /run/systemd/resolve 0755 root root\nf+ /run/systemd/resolve/resolv.conf 0644 root root - nameserver 192.0.2.53\n' > "$m/etc/tmpfiles.d/resolve.conf"
rm -f "$m/etc/resolv.conf"; echo 'nameserver 127.0.0.53' > "$m/etc/resolv.conf"
cat > "$m/doctor.sh" <<'X'
#!/bin/bash
checks="bridge-netfilter forwarding reverse-path node-port-range swap containerd-cri cgroup-driver resolv-loop proxy"
doctor="/usr/local/bin/cncfdemo doctor"
if [ ! -e /result/broken.json ]; then
    $doctor --output json > /result/broken.json
    for c in $checks; do $doctor --fix $c --yes; done
    $doctor --output json > /result/fixed.json
else
    $doctor --output json > /result/rebooted.json
    for c in $checks; do $doctor undo; done
    $doctor --output json > /result/undone.json
fi
systemctl poweroff
X
chmod +x "$m/doctor.sh"; touch "$m/usr/local/bin/cncfdemo"
cat > "$m/etc/systemd/system/doctor.service" <<'X'
[Unit]
After=systemd-sysctl.service basic.target
[Service]
Type=oneshot
ExecStart=/doctor.sh
X
ln -sf ../doctor.service "$m/etc/systemd/system/multi-user.target.wants/doctor.service"
ln -sf /lib/systemd/system/multi-user.target "$m/etc/systemd/system/default.target"
for _ in 1 2; do
    timeout 60 systemd-nspawn --quiet --register=no --keep-unit -b -D "$m" --private-network \
        --bind-ro="$program:/usr/local/bin/cncfdemo" --console=pipe </dev/null >"$work/boot.log" 2>&1 || true
done
python3 - "$m/result" <<'X'
import json, sys
phases = ["broken", "fixed", "rebooted", "undone"]
levels = {p: {f["id"]: f["level"] for f in json.load(open(f"{sys.argv[1]}/{p}.json"))["findings"]} for p in phases}
bad = 0
for check in "bridge-netfilter forwarding reverse-path node-port-range swap containerd-cri cgroup-driver resolv-loop proxy".split():
    row = [levels[p][check] for p in phases]
    print(check, *row)
    bad |= not (row[0] in ("fail", "warn") and row[1:3] == ["pass", "pass"] and row[3] == row[0])
sys.exit(bad)
X
