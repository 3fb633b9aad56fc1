#!/usr/bin/env bash
# Runs the tests, making their environment first if need be: bash tests/run.sh [arguments of pytest]
# EVFSAM_VENV names another environment than .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
venv="${EVFSAM_VENV:-.venv}"

if [ ! -x "$venv/bin/python" ]; then
    echo "making $venv: some minutes, most of them for torch and sam2"
    python3 -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements-test.txt

if ! command -v chromium chromium-browser google-chrome > /dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
        apt-get update -qq && apt-get install -y -qq chromium > /dev/null
    else
        "$venv/bin/python" -m playwright install chromium
    fi
fi

# Three processes, one thread each: tests of the page often wait, and two leave a quarter of two cores idle. A file is
# for one process: its tests share what is expensive to make.
# Real-time priority, which an encoder takes for itself as root, would stop the others.
export OMP_NUM_THREADS=1
# Without this, every process compiles the project again, and pytest its plugins. Many tests start processes.
unset PYTHONDONTWRITEBYTECODE
as_usual=()
if [ "$(id -u)" = 0 ] && setpriv --bounding-set=-sys_nice true 2> /dev/null; then
    as_usual=(setpriv --bounding-set=-sys_nice)
fi
exec "${as_usual[@]}" "$venv/bin/python" -m pytest -n 3 --dist loadfile --no-loadscope-reorder "$@"
