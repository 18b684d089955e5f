#!/usr/bin/env bash
# Installs headless Chromium and its driver from Debian's packages, for the tests of the HTML report
# (tests/report/test_browser.py), which are skipped by name where they are absent. Does nothing where both are there.
# Needs root, or sudo that asks for no password. Whatever version Debian has is used.
set -euo pipefail

# chromium without a font draws blank text
packages=(chromium chromium-driver fonts-dejavu-core)

if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    echo "install-browser: there already: $(command -v chromium), $(command -v chromedriver)"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "install-browser: expected Debian's apt-get, found none; install chromium and chromedriver by hand" >&2
    exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "install-browser: needs root to run: apt-get install ${packages[*]}" >&2
        exit 1
    fi
    as_root=(sudo -n)
fi
echo "install-browser: apt-get install ${packages[*]}"
"${as_root[@]}" apt-get update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "${packages[@]}"
command -v chromium chromedriver
