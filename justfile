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

# The benchmark table: all, or engine, images, load (root; for the second opinion: wrk, kubectl)
bench SUITE="all" *ARGS:
    cargo build --release -p cncfdemo -p bench
    cargo run -q --release -p bench -- {{SUITE}} {{ARGS}}
