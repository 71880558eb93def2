#!/bin/sh
# Install what lab servers need on the machine under them: packages.sh [demo|test]
# Says what it installs and why; says in one line why it cannot, and what can be done without a lab.
set -eu
what=${1:-test}
own="Without a lab, use a server of your own: .venv/bin/runbook init SERVER, then .venv/bin/runbook run SERVER (set up by: make venv)."
refuse() { echo "$1 $own" >&2; exit 1; }

[ "$(uname -s)" = Linux ] || refuse "Lab servers are Linux containers, and this machine runs $(uname -s)."
[ "$(id -u)" = 0 ] || refuse "Lab servers get network addresses of their own, which takes root: call make by root or sudo."

# package: why it is needed
needed="
podman: runs the lab's servers
runc: the container runtime that takes all kinds of control groups
containernetworking-plugins: gives the servers their addresses
iptables: lets the servers reach the package mirror
mmdebstrap: makes the servers' root file systems
iproute2: network set-up
ca-certificates: trust
openssl: looks at TLS
openssh-client: logs in
"
for_tests="
curl: a mail client that is not ours, for the tests
testssl.sh: looks at TLS as well, to compare our table with
git: records name the commit
chromium: opens the records as people see them, for the tests
"
[ "$what" = demo ] || needed="$needed$for_tests"

if ! command -v dpkg-query >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then
    PATH=$PATH:/usr/sbin:/sbin
    command -v podman >/dev/null 2>&1 || refuse "podman is missing, and this machine has no apt to install it with: install podman by hand."
    exit 0 # the images come from the distribution then; tests find out for themselves what else is missing
fi

missing=
reasons=
old_ifs=$IFS
IFS='
'
for line in $needed; do
    package=${line%%:*}
    if ! dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed; then
        missing="$missing $package"
        reasons="$reasons${reasons:+; }$package (${line#*: })"
    fi
done
IFS=$old_ifs
[ -n "$missing" ] || exit 0

echo "Installing Debian packages for the lab: $reasons."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of package names
if ! { apt-get -q update && apt-get -q -y --no-install-recommends install $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 20 "$log" >&2
    refuse "apt-get could not install:$missing (its last lines stand above)."
fi
