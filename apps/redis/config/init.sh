#!/bin/sh
# Makes the members one cluster of SHARDS masters with REPLICAS replicas each. Safe to run again at any time: what is as it should be is
# left alone, and what is not is mended. Members that have lost sight of each other meet again; nodes that are gone for good (a member
# came back with an empty disk, as another node) are forgotten; members without a duty become replicas where one is missing, or further
# shards; slots are moved until every shard has its part. Each step asks how things are now, so a run that was broken off is no harm.
set -eu
: "${MEMBERS:?names or addresses of all members}" "${SHARDS:?}" "${REPLICAS:?}"
port=6379

say() { echo "init: $*"; }
ask() { member=$1; shift; redis-cli -h "$member" -p "$port" "$@" 2>/dev/null; }
id_of() { ask "$1" cluster myid; }
# Redis takes addresses, not names, for meeting. Each member knows its own announced address.
address() { ask "$1" config get cluster-announce-ip | tail -n 1; }
host_of() { for host in $MEMBERS; do [ "$(id_of "$host")" = "$1" ] && { echo "$host"; return; }; done; }
has() { case " $1 " in *" $2 "*) return 0 ;; *) return 1 ;; esac; }

# Waits until a command succeeds, for so many seconds.
within() {
  left=$(($1 * 5)); shift
  until "$@"; do
    left=$((left - 1))
    [ "$left" -gt 0 ] || return 1
    sleep 0.2
  done
}

answers() { [ "$(ask "$1" ping || true)" = PONG ]; }

ok() {
  info=$(ask "$1" cluster info || true)
  case "$info" in *cluster_state:ok*) ;; *) return 1 ;; esac
  case "$info" in *cluster_slots_ok:16384*) return 0 ;; *) return 1 ;; esac
}
all_ok() { for host in $MEMBERS; do ok "$host" || return 1; done; }

# Every member sees every member, at its address of today.
acquainted() {
  for host in $MEMBERS; do
    seen=$(ask "$host" cluster nodes || true)
    for id in $ids; do
      case "$(echo "$seen" | grep "^$id " || true)" in
        "" | *handshake* | *noaddr* | *fail* | *disconnected*) return 1 ;;
      esac
    done
  done
}

# Lines `ID MASTER` of replicas and `ID -` of masters; those with slots have ` slots` at the end.
roles() {
  ask "$anchor" cluster nodes | while read -r id _ flags master _ _ _ _ slots; do
    has "$ids" "$id" || continue
    case "$flags" in *master*) master=- ;; esac
    echo "$id $master${slots:+ slots}"
  done
}
replicas_of() { roles | grep -c " $1\$" || true; }
linked() { ask "$1" info replication | grep -q master_link_status:up; }

follow() { # REPLICA'S-ID MASTER'S-ID
  say "$(host_of "$1") becomes a replica of $(host_of "$2")"
  within 20 replicated "$1" "$2" || { say "it does not"; exit 1; }
}
replicated() {
  host=$(host_of "$1")
  [ "$(ask "$host" cluster replicate "$2")" = OK ] && within 20 linked "$host" && within 20 known "$1" "$2"
}
known() { roles | grep -q "^$1 $2\$"; }

for host in $MEMBERS; do until answers "$host"; do sleep 0.2; done; done
say "every member answers"

# The member that knows most of the cluster speaks for it.
anchor="" most=0
for host in $MEMBERS; do
  assigned=$(ask "$host" cluster info | sed -n 's/^cluster_slots_assigned:\([0-9]*\).*/\1/p')
  if [ "${assigned:-0}" -gt "$most" ]; then anchor=$host most=$assigned; fi
done

if [ -z "$anchor" ]; then
  list="" count=0
  for host in $MEMBERS; do
    [ "$count" -lt $((SHARDS * (1 + REPLICAS))) ] && list="$list $(address "$host"):$port"
    count=$((count + 1))
  done
  say "creating a cluster of$list"
  # shellcheck disable=SC2086  # a list of words is wanted
  redis-cli --cluster create $list --cluster-replicas "$REPLICAS" --cluster-yes
  anchor=${MEMBERS%% *}
fi

ids=""
for host in $MEMBERS; do ids="$ids $(id_of "$host")"; done

if ! acquainted; then
  say "introducing the members to each other"
  for host in $MEMBERS; do ask "$anchor" cluster meet "$(address "$host")" "$port" > /dev/null; done
  within 60 acquainted || { say "the members do not all see each other"; ask "$anchor" cluster nodes; exit 1; }
fi

# Replicas take over by themselves. What nobody has taken over by now has no copy left anywhere; its slots are given to others, empty.
if ! within 20 all_ok; then
  say "slots that nobody serves, or whose move was broken off: mending"
  # It asks before it covers slots, whatever the options say.
  yes yes | redis-cli --cluster fix "$anchor:$port" --cluster-fix-with-unreachable-masters --cluster-yes
fi

for host in $MEMBERS; do
  ask "$host" cluster nodes | while read -r id _; do
    if ! has "$ids" "$id"; then
      say "$host forgets node $id, which is gone"
      ask "$host" cluster forget "$id" > /dev/null
    fi
  done
done

full=$(roles | sed -n 's/ - slots$//p')
count=$(echo "$full" | grep -c . || true)
if [ "$count" -gt "$SHARDS" ]; then
  say "$count shards have slots and $SHARDS are asked for: shards are not taken away, ask for $count again"
  exit 1
fi
masters=$full
idle=$(roles | sed -n 's/ -$//p')
for id in $ids; do
  echo "$idle" | grep -q "^$id\$" || continue
  if [ "$count" -lt "$SHARDS" ]; then
    say "$(host_of "$id") becomes a shard"
    masters="$masters $id" count=$((count + 1))
  else
    spare="${spare:-} $id"
  fi
done

# A new shard gets its replica before it gets slots, so that no slot is ever without a copy.
for id in ${spare:-}; do
  fewest=""
  for master in $masters; do
    now=$(replicas_of "$master")
    if [ -z "$fewest" ] || [ "$now" -lt "$least" ]; then fewest=$master least=$now; fi
  done
  follow "$id" "$fewest"
done
for poor in $masters; do
  while [ "$(replicas_of "$poor")" -lt "$REPLICAS" ]; do
    lent=""
    for rich in $masters; do
      [ "$(replicas_of "$rich")" -gt "$REPLICAS" ] && lent=$(roles | sed -n "s/ $rich\$//p" | head -n 1)
    done
    [ -n "$lent" ] || { say "$(host_of "$poor") has too few replicas, and no master has one to spare"; exit 1; }
    follow "$lent" "$poor"
  done
done

# Slots that were on the move when an earlier run was broken off: `[slot->-node]`.
for host in $MEMBERS; do
  if ask "$host" cluster nodes | grep -q '\[[0-9]*-[<>]-'; then
    say "finishing a move that was broken off"
    yes yes | redis-cli --cluster fix "$anchor:$port" --cluster-yes
    break
  fi
done
moves=$(redis-cli --cluster rebalance "$anchor:$port" --cluster-use-empty-masters --cluster-yes) || { echo "$moves"; exit 1; }
echo "$moves" | sed -n 's/^[^M]*Moving/init: moved/p'

within 60 all_ok || { say "the cluster is not ok after 60 s"; ask "$anchor" cluster info; ask "$anchor" cluster nodes; exit 1; }
say "$SHARDS shards serve all 16384 slots"
