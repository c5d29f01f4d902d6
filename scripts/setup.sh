#!/usr/bin/env bash
# Installs what building and running need and this machine lacks, or names the command to run. With "test", also what
# the browser tests need. Run again, it changes nothing.
set -euo pipefail

missing=()
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || command -v postgres >/dev/null || missing+=(postgresql)
command -v gcc >/dev/null || missing+=(build-essential)
if [ "${1:-}" = test ]; then
  command -v chromium >/dev/null || missing+=(chromium)
  command -v npm >/dev/null || missing+=(npm)
fi

command -v go >/dev/null || { echo "Go is missing. Install version 1.26 or newer from https://go.dev/dl/" >&2; exit 1; }

if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "Missing: ${missing[*]}. Install them with this system's package manager and run this again." >&2
    exit 1
  fi
  if [ "$(id -u)" = 0 ]; then as=; elif sudo -n true 2>/dev/null; then as=sudo; else
    echo "Missing: ${missing[*]}. Run: sudo $install" >&2
    exit 1
  fi
  echo "Installing ${missing[*]}"
  # Our own server is the only one that is wanted: no system-wide cluster.
  if [[ " ${missing[*]} " == *" postgresql "* ]] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $as mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" | $as tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
  log=$(mktemp)
  if ! { $as apt-get update && DEBIAN_FRONTEND=noninteractive $as $install; } >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "Installing failed. Run it by hand: sudo $install" >&2
    exit 1
  fi
  rm -f "$log"
fi
