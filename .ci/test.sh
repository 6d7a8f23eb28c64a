#!/usr/bin/env bash
# The whole test run: every check that a change must pass, on a machine with only Rust. Stops at the first step
# that fails. `make test` runs it; so does CI (.ci/run).
#
#   .ci/test.sh            everything
#   .ci/test.sh STEP ...   only these steps, in the order of the list below
set -euo pipefail
cd "$(dirname "$0")/.."

STEPS=(tools fmt clippy docs build rust compose e2e secure chaos)
STEPS_KNOWN=("${STEPS[@]}")
[ $# -eq 0 ] || STEPS=("$@")
# A function in a condition runs without errexit: its commands are joined by &&.
# An outdated lock file is a failure, not something to repair on the way.
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}
LOCKED=--locked

LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT

step_tools() { .ci/install-tools.sh; }
step_fmt() { cargo fmt --all --check; }
step_clippy() { cargo clippy $LOCKED --workspace --all-targets -- -D warnings; }
step_docs() { RUSTDOCFLAGS="-D warnings" cargo doc $LOCKED --workspace --no-deps; }
step_build() { cargo build $LOCKED --workspace --bins; }
# Most tests wait for other processes and for time that passes: four at once take two cores as two do, in half the time.
step_rust() { RUST_TEST_THREADS=${RUST_TEST_THREADS:-4} cargo test $LOCKED --workspace --no-fail-fast; }
step_compose() {
    local compose=${COMPOSE_BIN:-.tools/compose/docker-compose}
    "$compose" config -q && .venv/bin/python .ci/check-compose.py "$compose"
}
step_e2e() {
    # The directory that the build step wrote to, wherever it is configured.
    SWITCHBOARD_BIN_DIR="${CARGO_TARGET_DIR:-target}/debug" \
        .venv/bin/python -m pytest mesh/testkit/e2e
}

step_secure() {
    # The same suite; the outage of the registry is shown at its full length above.
    SWITCHBOARD_BIN_DIR="${CARGO_TARGET_DIR:-target}/debug" SWITCHBOARD_E2E=secure SWITCHBOARD_E2E_OUTAGE_SECONDS=10 \
        .venv/bin/python -m pytest mesh/testkit/e2e
}

step_chaos() {
    # The part of `make chaos` that any build on any machine must pass.
    SWITCHBOARD_BIN_DIR="${CARGO_TARGET_DIR:-target}/debug" \
        .venv/bin/python mesh/testkit/chaos/run.py --quick
}

title_of() {
    case $1 in
        tools) echo "install haproxy, chromium, consul, docker-compose, grpcio" ;;
        fmt) echo "cargo fmt --check" ;;
        clippy) echo "cargo clippy, warnings are errors" ;;
        docs) echo "cargo doc, warnings are errors" ;;
        build) echo "cargo build of every binary" ;;
        rust) echo "cargo test: unit, property, behaviour and registry tests" ;;
        compose) echo "docker-compose.yml, and docker-compose.secure.yml over it" ;;
        e2e) echo "end to end: Consul, HAProxy, 3 routers, backends, a Python client" ;;
        secure) echo "end to end again, with mTLS and signed tokens on every hop and Consul in default deny" ;;
        chaos) echo "under fire: three Consul servers, HAProxy, 3 routers, 6 backends, everything killed once" ;;
        *) echo "no step '$1' (steps: ${STEPS_KNOWN[*]})" >&2; return 1 ;;
    esac
}

# Sums the "test result:" lines of cargo test, and takes pytest's last line.
summary_of() {
    case $1 in
        rust)
            awk '/^test result:/ { for (i = 1; i <= NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i;
                 if ($(i+1) ~ /^ignored/) s += $i } } END { printf "%d passed, %d failed, %d ignored", p, f, s }' "$LOG" ;;
        chaos) grep -E 'rows without a broken promise' "$LOG" | sed 's/;.*//' ;;
        e2e | secure) grep -E '(passed|failed|error).* in [0-9.]+s' "$LOG" | tail -n 1 | tr -d '=' | sed 's/^ *//; s/ *$//' ;;
    esac
}

begun=$SECONDS
report=()
number=0
for step in "${STEPS[@]}"; do
    number=$((number + 1))
    title=$(title_of "$step")
    printf '\n==> [%d/%d] %s\n' "$number" "${#STEPS[@]}" "$title"
    step_begun=$SECONDS
    if "step_$step" 2>&1 | tee "$LOG"; then outcome=ok; else outcome=FAILED; fi
    printf -v line '  %-8s %-6s %4d s  %s' "$step" "$outcome" $((SECONDS - step_begun)) "$(summary_of "$step")"
    report+=("$line")
    [ "$outcome" = ok ] || break
done

printf '\n==> summary\n'
printf '%s\n' "${report[@]}"
if [ "$outcome" = ok ]; then
    printf 'PASSED: %d steps in %d s\n' "$number" $((SECONDS - begun))
else
    printf 'FAILED: step %s (%d of %d) after %d s\n' "$step" "$number" "${#STEPS[@]}" $((SECONDS - begun))
    exit 1
fi
