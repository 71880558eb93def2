#!/bin/sh
# Make requirements.lock from pyproject.toml: every package with the hashes of its files, and no address of any index.
set -eu
cd "$(dirname "$0")/../../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
.venv/bin/python -m venv "$scratch"
"$scratch/bin/python" -m pip install -qq --disable-pip-version-check --no-input uv
# --no-config and the cleared variables: a machine's own settings must not end up in the file.
env -u PIP_FIND_LINKS -u UV_FIND_LINKS "$scratch/bin/uv" pip compile --quiet --no-config --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --upgrade --extra dev \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 pyproject.toml --output-file requirements.lock
