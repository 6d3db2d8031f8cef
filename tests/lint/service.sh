#!/usr/bin/env bash
# The systemd unit as it is installed: systemd can read it, its program is there, and
# stopping the service leaves jobs alone.
set -euo pipefail
command -v systemd-analyze >/dev/null || { echo "no systemd-analyze here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The program lies in the build folder until it is installed.
sed "s|^ExecStart=[^ ]*|ExecStart=$PPT_BUILD_DIR/scheduler/ppt-schedd|" \
    "$PPT_BUILD_DIR/ppt-schedd.service" >"$work/ppt-schedd.service"
# Pages of the manual are found only once they are installed.
systemd-analyze verify --man=no --recursive-errors=no "$work/ppt-schedd.service" \
    >"$work/faults" 2>&1 || { cat "$work/faults"; exit 1; }
# It is also silent about what it merely ignores: an unknown key is a warning.
if grep -F ppt-schedd.service "$work/faults"; then
    exit 1
fi
grep -qx 'KillMode=process' "$work/ppt-schedd.service" ||
    { echo "stopping the service would kill running jobs"; exit 1; }
