#!/bin/sh
# Make .venv from requirements.lock and install this checkout into it, editable.
# Every file that pip fetches must match a hash in the lock, whatever index the machine is set to use.
set -eu
python=${1:-python3}
cd "$(dirname "$0")/../../.."

if ! command -v "$python" >/dev/null 2>&1; then
    echo "$python is not installed, so nothing here can run: install Python 3.11 or newer, or name one: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "$("$python" --version) is too old: Python 3.11 or newer is needed. Name a newer one: make PYTHON=/path/to/python3.11 ..." >&2
    exit 1
fi
# A bare Debian has python3 without ensurepip, and then `python3 -m venv` fails half-way.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing the Debian package python3-venv: Python's own venv module cannot make an environment without it."
        runbook_log=$(mktemp)
        (apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv) \
            >"$runbook_log" 2>&1 </dev/null || { tail -n 20 "$runbook_log" >&2; exit 1; }
        rm -f "$runbook_log"
    else
        echo "$python has no ensurepip, so no virtual environment can be made: install python3-venv (Debian, Ubuntu: apt install python3-venv)" >&2
        exit 1
    fi
fi

echo "Making .venv from requirements.lock (about a minute, once)."
[ -x .venv/bin/python ] && .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    "$python" -m venv --clear .venv
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes -r requirements.lock
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-input --no-deps --no-build-isolation --editable .
