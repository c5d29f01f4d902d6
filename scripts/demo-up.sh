#!/usr/bin/env bash
# Runs the demo hospital with the given binary in the given folder: starts it in the background, runs its pipelines and
# says where to look. Run again, it goes on from what stands.
set -euo pipefail
flowehr=$(realpath "$1")
demo=$2

[ -e "$demo/config.yaml" ] || "$flowehr" init "$demo"
cd "$demo"
"$flowehr" up -d
"$flowehr" pipelines run hospital-daily --wait
"$flowehr" status
echo
echo "Sign in to the portal (the link works once, for 15 minutes; another one: $flowehr --dir $PWD portal link):"
"$flowehr" portal link
