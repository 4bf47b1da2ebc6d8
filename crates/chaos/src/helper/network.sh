# Breaks the network of a pod (by one of its processes' namespace) or of this node for some seconds, at most until a deadline, and
# mends it then.
# network.sh POD_UID|node UNTIL SECONDS EFFECT [VALUE [VALUE]]: partition | loss PERCENT | latency MILLISECONDS JITTER
# (No doubled dollar signs here: in a pod's command they mean one.)
set -u
who=$1 until=$2 seconds=$3 effect=$4 value=${5:-0} jitter=${6:-0}

within() { "$@"; }
if [ "$who" != node ]; then
  # kubelet's systemd driver writes the uid with underscores.
  other=$(echo "$who" | tr - _)
  for process in /proc/[0-9]*; do
    if grep -qs -e "$who" -e "$other" "$process/cgroup"; then pid=${process#/proc/}; break; fi
  done
  [ -n "${pid:-}" ] || { say "failed: no process of the pod runs on this node"; exit 1; }
  # Held open, so that it is mended also when every process of the pod has been replaced meanwhile.
  exec 3< "/proc/$pid/ns/net"
  within() { nsenter --net=/proc/self/fd/3 "$@"; }
fi

mend() {
  within nft delete table inet cncfdemo_chaos 2> /dev/null
  [ "$effect" = latency ] && within tc qdisc del dev eth0 root 2> /dev/null
  return 0
}
over() { mend; say "mended"; exit 0; }
trap over TERM INT

mend
[ "$(date +%s)" -lt "$until" ] || over
say "applying"
# A node's last word has to get out before nothing does.
[ "$who" = node ] && sleep 2
begin
# A node loses what lies beyond its own interface, and keeps its pods: their probes come from the node itself.
set -- $(ip -o address show to "${HOST_IP:-}" 2> /dev/null)
uplink=${2:-}
[ "$who" != node ] || [ -n "$uplink" ] || { say "failed: no interface of this node has its address ${HOST_IP:-}"; exit 1; }
drop() {
  printf 'table inet cncfdemo_chaos {\n'
  for hook in input output forward; do
    printf ' chain %s { type filter hook %s priority -300; policy accept; ' $hook $hook
    if [ "$who" != node ]; then
      [ $hook = output ] && printf 'oifname "lo" accept; ' || printf 'iifname "lo" accept; '
      printf '%s drop; }\n' "$1"
    else
      [ $hook = output ] || printf 'iifname "%s" %s drop; ' "$uplink" "$1"
      [ $hook = input ] || printf 'oifname "%s" %s drop; ' "$uplink" "$1"
      printf '}\n'
    fi
  done
  printf '}\n'
}
case $effect in
  partition) trouble=$(drop "" | within nft -f - 2>&1) ;;
  loss) trouble=$(drop "numgen random mod 100 < $value" | within nft -f - 2>&1) ;;
  latency)
    trouble=$(within tc qdisc replace dev eth0 root netem delay "${value}ms" "${jitter}ms" 2>&1) || {
      case $trouble in
        *"qdisc kind is unknown"*) trouble="this node's kernel has no netem (module sch_netem), so packets cannot be delayed here; partition and loss can be had" ;;
      esac
      false
    } ;;
esac || { mend; say "failed: $(echo "$trouble" | tr '\n' ' ')"; exit 1; }
say "applied"
hold
over
