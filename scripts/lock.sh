#!/bin/sh
# Compile requirements.txt and requirements-test.txt from pyproject.toml, for every platform and Python at once.
set -eu
compile() {
    uv pip compile pyproject.toml --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url \
        --quiet "$@" | grep -v '^-e'
}
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
compile >"$new/run"
compile --extra test --constraints "$new/run" >"$new/all"
{
    echo "# The exact stack, compiled from pyproject.toml by 'make lock': pip install -r requirements.txt"
    cat "$new/run"
    echo "-e ."
} >requirements.txt
{
    echo "# The test tools beside it, compiled from pyproject.toml by 'make lock'"
    grep -vxFf "$new/run" "$new/all"
} >requirements-test.txt
