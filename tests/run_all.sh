#!/usr/bin/env bash
# The notebooks under nbval in the tiny profile, in a temporary outputs folder; beside them every other test, those with a
# browser last; then the figures of that tiny run against the bars (tests/test_bars.py). Two processes with one thread
# each: at this size that is faster than one after the other with two. `notebooks` as argument runs nbval alone.
set -euo pipefail
cd "$(dirname "$0")/.."
bin=.venv/bin
outputs=$(mktemp -d)
beside=
trap '[ -z "$beside" ] || kill -- "-$beside" 2>/dev/null || true; rm -rf "$outputs"' EXIT

nbval=(env "JWVL_OUTPUTS=$outputs" "$bin/python" -m pytest -q --nbval-lax --nbval-current-env
  --nbval-cell-timeout=1800 -p no:cacheprovider notebooks/0[0-8]_*.ipynb)
if [ "${1:-}" = notebooks ]; then
  "${nbval[@]}"
  exit
fi
export OMP_NUM_THREADS=1
failed=0
set -m  # what runs beside is a process group, so that it can be ended as a whole
rest=("$bin/python" -m pytest -q --durations=15 --ignore=tests/test_bars.py tests)
"${nbval[@]}" >"$outputs/beside.log" 2>&1 &
beside=$!
set +m
"${rest[@]}" -m "not browser" || failed=1
"${rest[@]}" -m browser || failed=1
wait "$beside" || failed=1
beside=
tail -n 120 "$outputs/beside.log"
JWVL_TESTED_RUN=$outputs/tiny "$bin/python" -m pytest -q tests/test_bars.py || failed=1
exit $failed
