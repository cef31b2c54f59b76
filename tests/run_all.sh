#!/usr/bin/env bash
# The notebooks under nbval in the tiny profile, in a temporary outputs folder, then every other test; the figures of
# that tiny run are held against the bars by tests/test_bars.py. `notebooks` as argument stops after nbval.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
outputs=$(mktemp -d)
trap 'rm -rf "$outputs"' EXIT
export JWVL_OUTPUTS=$outputs
"$bin/python" -m pytest -q --nbval-lax --nbval-current-env --nbval-cell-timeout=1800 -p no:cacheprovider notebooks/0[0-6]_*.ipynb
[ "${1:-}" = notebooks ] && exit 0
unset JWVL_OUTPUTS
JWVL_TESTED_RUN=$outputs/tiny "$bin/python" -m pytest -q --durations=15 tests
