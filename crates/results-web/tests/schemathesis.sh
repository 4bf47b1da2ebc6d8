#!/usr/bin/env bash
# Holds a running results server against its own OpenAPI document with schemathesis. Usage: schemathesis.sh PROGRAM [MAX_EXAMPLES],
# where PROGRAM is a built cncfdemo. Installs schemathesis (pinned) into target/tools when it is not there; needs python3 and PyPI.
set -euo pipefail
program=$(realpath "$1")
examples=${2:-30}
cd "$(dirname "$0")/../../.."
tools=$PWD/target/tools/schemathesis
if [ ! -x "$tools/bin/schemathesis" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet schemathesis==4.32.5
fi
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
head -c 24 /dev/urandom | base64 >"$folder/token"
# Below the ports that connections get: nobody takes it until the server does.
port=$(python3 - <<'X'
import random, socket
while True:
    port = random.randrange(12000, 32000)
    try:
        socket.socket().bind(("127.0.0.1", port))
    except OSError:
        continue
    print(port)
    break
X
)
"$program" results serve --listen "127.0.0.1:$port" --data "$folder/runs.db" --token-file "$folder/token" --per-minute 4000000000 &
server=$!
for _ in $(seq 600); do
    if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then break; fi
    sleep 0.1
done
# Never-ending answers are not for it: the events.
config=$PWD/crates/results-web/tests/schemathesis.toml
cd "$folder"
"$tools/bin/schemathesis" --config-file "$config" run "http://127.0.0.1:$port/openapi.json" \
    --header "Authorization: Bearer $(cat token)" --exclude-path /api/v1/events \
    --max-examples "$examples" --seed 1 --no-color
