# What is done often; `just` lists it. None of it is needed to build or to run.

default:
    @just --list

# The whole demo on this machine (root)
demo *ARGS:
    cargo run --release -- start {{ARGS}}

# Everything that must hold before a change is taken
ci:
    .ci/run

# Format, lint, test one crate
check CRATE:
    cargo fmt -p {{CRATE}}
    cargo clippy -p {{CRATE}} --all-targets -- -D warnings
    cargo test -p {{CRATE}}

# Tests that need neither root nor network, of one crate or all
test CRATE="":
    cargo test {{ if CRATE == "" { "--workspace" } else { "-p " + CRATE } }}

# The property tests with so many other seeds; one that fails is said, and tried again by PROPTEST_RNG_SEED
properties ROUNDS="20":
    for round in $(seq {{ROUNDS}}); do \
        export PROPTEST_RNG_SEED=$(od -An -N4 -tu4 /dev/urandom | tr -d ' '); echo "seed $PROPTEST_RNG_SEED"; \
        cargo test -q --locked $(grep -l '^proptest' crates/*/Cargo.toml | cut -d/ -f2 | sed 's/^/-p /') || exit 1; \
    done

# The end-to-end tests (root), with their output
e2e *FILTER:
    cargo test -p cncfdemo --test e2e -- --nocapture {{FILTER}}

# Licences, duplicate versions, sources
deny:
    cargo deny check licenses bans sources

# Rewrite the reference documentation from the command line's own description
docs:
    UPDATE_DOCS=1 cargo test -p cncfdemo --test cli reference

# Upstream's answers against a local cluster (see ../shared/conformance)
conformance NAME="cncfdemo":
    python3 ../shared/conformance/run.py --kubeconfig "$(cargo run -q --release -- kubeconfig --name {{NAME}} --path)"

# The benchmark table: all, or engine, images, load, tally, results (root; for the second opinion: wrk, kubectl, --peer-kubeconfig FILE; for tally: redis-server, nginx)
bench SUITE="all" *ARGS:
    cargo build --release -p cncfdemo -p bench
    cargo run -q --release -p bench -- {{SUITE}} {{ARGS}}

# Endurance of the engine: pods and watches come and go; figures at first and at last (root)
soak *ARGS:
    cargo build --release -p cncfdemo -p bench
    cargo run -q --release -p bench -- soak {{ARGS}}

# Every fuzz target, or those named, for so many seconds each; a stable toolchain and a C++ compiler will do
fuzz SECONDS *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# kill -9 of the real engine under writes of several clients over HTTPS, then of the store alone (root)
crash ROUNDS="200":
    CRASH_ROUNDS={{ROUNDS}} cargo test -p cncfdemo --test e2e -- --nocapture acknowledged_writes_survive
    CRASH_ROUNDS={{ROUNDS}} cargo test -p engine-store --test crash -- --nocapture

# The report's pages in Chromium: accessibility, no network, size (npm, chromium); pictures in target/axe
axe:
    cargo run -q -p report --example render -- target/axe crates/results/tests/data/run-of-0.1.0.json
    npm install --silent --prefix target/tools/axe axe-core@4.14.1 playwright-core@1.65.1
    NODE_PATH=$PWD/target/tools/axe/node_modules node crates/report/tests/axe.mjs --shots target/axe target/axe/index.html target/axe/runs/*.html

# The results server against its own OpenAPI document (python3, PyPI)
schemathesis EXAMPLES="30":
    cargo build --release -p cncfdemo
    crates/results-web/tests/schemathesis.sh "$(find target -path '*release/cncfdemo' -type f -perm -u+x | head -1)" {{EXAMPLES}}

# What the dashboard at a URL costs, by its process: CPU, memory, bytes (node, Chromium)
dashboard-cost URL PID SECONDS="30":
    mkdir -p target/dashboard-page && cp crates/cncfdemo/tests/page/*.json crates/cncfdemo/tests/page/cost.mjs target/dashboard-page
    npm --prefix target/dashboard-page ci --ignore-scripts --no-audit --no-fund
    node target/dashboard-page/cost.mjs {{URL}} {{PID}} {{SECONDS}}

# Counted truth: 60 s of load while a pod, a Redis master and a node are killed; fails when an acknowledged request is not in the store (root)
truth RATE="500":
    cargo build --release -p cncfdemo
    crates/cncfdemo/tests/truth.sh "$(find target -path '*release/cncfdemo' -type f -perm -u+x | head -1)" {{RATE}}
