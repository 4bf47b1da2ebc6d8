#!/bin/sh
# Counted truth, the long form: a cluster of three nodes of its own, the demo on it, 60 s of open-loop load, and one of each killed: a
# pod of the application, a master of the store, a node. Fails when an acknowledged request is not in the store afterwards.
# truth.sh PROGRAM [RATE [FOLDER]]
set -eu
program=$1 rate=${2:-500} folder=${3:-$(mktemp -d)}
mkdir -p "$folder"
demo() { "$program" --state-dir "$folder/state" --name truth "$@"; }
trap 'demo destroy > /dev/null 2>&1 || true; rm -rf "$folder/state"' EXIT
demo start --nodes 3 --load-seconds 0 --set tally.port=7101 --set prometheus.port=7103
demo benchmark --time 60s --rate "$rate" \
  --chaos pod:after=10s --chaos redis-master:after=22s --chaos node:after=40s,for=12s \
  --save-html "$folder/truth.html"
demo results verify "$folder/truth.json"
if command -v python3 > /dev/null; then
  python3 - "$folder/truth.json" <<'END'
import json, sys
run = json.load(open(sys.argv[1]))
counted = run["counted"]
stored = counted["after"] - counted["before"]
print(f'acknowledged {counted["acknowledged"]}, not acknowledged {counted["uncertain"]}, in the store {stored}')
for fault in run["faults"]:
    r = fault["recovery"]
    print(f'{fault["t"]:.1f} s {fault["what"]}: {r["lost"]} lost, {r["outside_s"]} s outside, back after {r["back_s"]}')
assert len(run["faults"]) == 3, "three faults were asked for"
assert stored >= counted["acknowledged"], "acknowledged requests are lost"
assert stored <= counted["acknowledged"] + counted["uncertain"], "requests were counted twice"
END
fi
echo "report: $folder/truth.html"
