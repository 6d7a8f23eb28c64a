# Read by the scripts that install tools: messages, and packages of the machine's own Debian release.
# Whoever reads it has set TOOLS, the folder of what is unpacked and of logs.
# shellcheck shell=bash

say() { printf 'tools: %s\n' "$*"; }
fail() {
    printf 'tools: FAILED: %s\n' "$1" >&2
    shift
    for hint in "$@"; do printf 'tools:   %s\n' "$hint" >&2; done
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo -- "$@"
    else
        fail "'$*' needs root, and there is no sudo here" "Run it once as root, then 'make tools' again."
    fi
}

# Installs packages of the machine's own release. The index is refreshed only when the first try fails, as
# in a container image that ships without one.
apt_install() {
    command -v apt-get >/dev/null || fail "no apt-get on this machine" \
        "Install by hand: $*. Binaries outside PATH are named by HAPROXY_BIN, CONSUL_BIN, COMPOSE_BIN."
    local quiet=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=120)
    say "installing $* (apt)"
    as_root "${quiet[@]}" install -y --no-install-recommends "$@" >"$TOOLS/apt.log" 2>&1 && return
    as_root "${quiet[@]}" update >"$TOOLS/apt.log" 2>&1 || {
        cat "$TOOLS/apt.log" >&2
        fail "apt-get update failed"
    }
    as_root "${quiet[@]}" install -y --no-install-recommends "$@" >>"$TOOLS/apt.log" 2>&1 || {
        cat "$TOOLS/apt.log" >&2
        fail "apt-get install $* failed"
    }
}
