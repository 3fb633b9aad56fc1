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

exec "$venv/bin/python" -m pytest "$@"
