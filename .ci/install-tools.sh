#!/usr/bin/env bash
# Installs what the tests need beside Rust, on a Debian machine. Safe to run again: what is there is kept.
#
#   haproxy             from the machine's own Debian release, installed system-wide
#   chromium            likewise, without a screen, for the tests of the workflow engine's page
#   .tools/consul       Consul 1.8.7, the last one Debian shipped (bullseye), unpacked, not installed
#   .tools/compose      docker-compose v2 for the static check of docker-compose.yml (trixie), unpacked
#   .venv               Python's grpcio and pytest for the end-to-end suite, versions pinned
#
# No host name stands here: packages of other Debian releases come from the mirrors that the machine's own
# apt already uses, read through a private apt configuration, so the system's sources stay as they are.
# Instead of a mirror: DEBIAN_MIRROR=<uri>. Instead of a package: CONSUL_BIN, HAPROXY_BIN, COMPOSE_BIN or
# CHROMIUM_BIN, each the path of a binary; CHROMIUM_BIN=none leaves the tests out that need it.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS="$PWD/.tools"
VENV="$PWD/.venv"
REQUIREMENTS="mesh/testkit/e2e/requirements.txt"
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

. .ci/apt.sh

# Prints the base URIs that this machine's apt reads Debian's main archive from, one per line. apt itself
# parses its configuration here, so deb822 and one-line files, dated snapshot archives, options, proxies and
# credentials all count.
debian_mirrors() {
    if [ -n "${DEBIAN_MIRROR:-}" ]; then
        printf '%s\n' "$DEBIAN_MIRROR"
        return
    fi
    # Lines of the form: '<uri>/dists/<suite>/InRelease' <file> <size>
    local codename
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-stable}")
    apt-get update --print-uris 2>/dev/null |
        sed -nE "s#^'(.*)/dists/($codename|stable|testing|unstable|sid)/(In)?Release' .*#\1#p" |
        awk '!seen[$0]++'
}

# Unpacks one package of another Debian release: unpack_from <suite> <package> <directory>.
unpack_from() {
    local suite=$1 package=$2 into=$3 private log mirror deb
    private=$(mktemp -d "$TOOLS/apt.XXXXXX")
    log="$TOOLS/$package.log"
    mkdir -p "$private"/{lists/partial,cache/archives/partial,parts}
    : >"$private/status"
    : >"$log"
    [ -f "$KEYRING" ] || apt_install debian-archive-keyring
    # The machine's own apt.conf.d is read first (proxy, credentials), then this.
    cat >"$private/apt.conf" <<CONF
Dir::Etc::sourcelist "$private/sources.list";
Dir::Etc::sourceparts "$private/parts";
Dir::Etc::preferences "$private/preferences";
Dir::Etc::preferencesparts "$private/parts";
Dir::State::lists "$private/lists";
Dir::State::status "$private/status";
Dir::Cache "$private/cache";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
// An archived release is no longer refreshed; its signature is still checked.
Acquire::Check-Valid-Until "false";
Acquire::Retries "3";
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
CONF
    local mirrors
    mirrors=$(debian_mirrors) || true
    [ -n "$mirrors" ] || fail "apt on this machine names no Debian archive" \
        "Name one: DEBIAN_MIRROR=<uri> make tools"
    for mirror in $mirrors; do
        say "unpacking $package of Debian $suite into ${into#"$PWD"/}"
        printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$mirror" "$suite" >"$private/sources.list"
        if (cd "$private" && apt-get -c "$private/apt.conf" -qq update &&
            apt-get -c "$private/apt.conf" -qq download "$package") >>"$log" 2>&1; then
            deb=$(find "$private" -maxdepth 1 -name "${package}_*.deb" | head -n 1)
            if [ -n "$deb" ]; then
                rm -rf "$into"
                mkdir -p "$into"
                dpkg-deb -x "$deb" "$into"
                rm -rf "$private"
                return
            fi
        fi
    done
    rm -rf "$private"
    sed 's/^/tools:   /' "$log" >&2
    fail "cannot get package '$package' of Debian $suite from this machine's own mirrors" \
        "Name a mirror that still carries $suite: DEBIAN_MIRROR=<uri> make tools" \
        "or a binary of your own: CONSUL_BIN=<path> or COMPOSE_BIN=<path>."
}

mkdir -p "$TOOLS"

# Rust links with it, and aws-lc-rs compiles C.
command -v cc >/dev/null || apt_install gcc libc6-dev

if [ -n "${HAPROXY_BIN:-}" ]; then
    [ -x "$HAPROXY_BIN" ] || fail "HAPROXY_BIN=$HAPROXY_BIN is not executable"
elif ! command -v haproxy >/dev/null && [ ! -x /usr/sbin/haproxy ]; then
    apt_install haproxy
fi
haproxy=${HAPROXY_BIN:-$(PATH="$PATH:/usr/sbin" command -v haproxy)}
"$haproxy" -vv | grep 'Prometheus\|PROMEX' >/dev/null || fail "$haproxy is built without its Prometheus exporter" \
    "The test configuration needs it; Debian's package has it."

# The smaller package where the release has it: 11 s of download and unpacking, 260 MB on disk.
chromium() { command -v chromium-headless-shell || command -v chromium || command -v google-chrome || true; }
if [ "${CHROMIUM_BIN:-}" = none ]; then
    say "no browser is wanted (CHROMIUM_BIN=none): the tests of the engine's page will be left out"
elif [ -n "${CHROMIUM_BIN:-}" ]; then
    [ -x "$CHROMIUM_BIN" ] || fail "CHROMIUM_BIN=$CHROMIUM_BIN is not executable"
elif [ -z "$(chromium)" ]; then
    # In a subshell: a failure here is told in other words.
    (apt_install chromium-headless-shell fonts-liberation) || (apt_install chromium fonts-liberation) ||
        fail "cannot install a browser for the tests of the engine's page (chromium-headless-shell, chromium)" \
            "Name one: CHROMIUM_BIN=<path> make tools" \
            "or leave those tests out: CHROMIUM_BIN=none make test"
fi

if [ -n "${CONSUL_BIN:-}" ]; then
    [ -x "$CONSUL_BIN" ] || fail "CONSUL_BIN=$CONSUL_BIN is not executable"
elif ! "$TOOLS/consul/consul" version >/dev/null 2>&1; then
    unpack_from bullseye consul "$TOOLS/consul"
    ln -s usr/bin/consul "$TOOLS/consul/consul"
fi
consul=${CONSUL_BIN:-$TOOLS/consul/consul}
"$consul" version >/dev/null || fail "$consul does not run on this machine"

if [ -n "${COMPOSE_BIN:-}" ]; then
    [ -x "$COMPOSE_BIN" ] || fail "COMPOSE_BIN=$COMPOSE_BIN is not executable"
elif ! "$TOOLS/compose/docker-compose" version >/dev/null 2>&1; then
    unpack_from trixie docker-compose "$TOOLS/compose"
    ln -s usr/libexec/docker/cli-plugins/docker-compose "$TOOLS/compose/docker-compose"
fi
compose=${COMPOSE_BIN:-$TOOLS/compose/docker-compose}
"$compose" version >/dev/null || fail "$compose does not run on this machine"

# A virtual environment is made anew when the pinned versions change.
if ! cmp -s "$REQUIREMENTS" "$VENV/requirements.txt"; then
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
        apt_install python3 python3-venv
    fi
    say "making .venv from $REQUIREMENTS"
    rm -rf "$VENV"
    python3 -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$REQUIREMENTS" ||
        fail "pip cannot install the packages of $REQUIREMENTS"
    cp "$REQUIREMENTS" "$VENV/requirements.txt"
fi

say "haproxy  $("$haproxy" -v | head -n 1 | awk '{ print $3 }')  $haproxy"
say "consul   $("$consul" version | head -n 1 | awk '{ print $2 }')  $consul"
if [ "${CHROMIUM_BIN:-}" != none ]; then
    browser=${CHROMIUM_BIN:-$(chromium)}
    say "chromium $("$browser" --version 2>/dev/null | grep -oE '[0-9][0-9.]+' | head -n 1)  $browser"
fi
say "compose  $("$compose" version --short)  $compose"
say "python   $("$VENV/bin/python" -c 'import grpc, platform; print(platform.python_version(), "grpcio", grpc.__version__)')"
