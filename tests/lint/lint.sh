#!/usr/bin/env bash
# Shared by the lint tests: each walks the tracked files, prints what is wrong as
# file:line: words, and exits 1 if there was anything.
set -euo pipefail
cd "${PPT_SOURCE_DIR:?set by ctest}"
n_faults=0

fault() {
    printf '%s\n' "$*"
    n_faults=$((n_faults + 1))
}

finish() {
    if [ "$n_faults" -gt 0 ]; then
        printf '%d faults\n' "$n_faults"
        exit 1
    fi
    echo "clean"
}

# Tracked and new files that match.
files() {
    git ls-files --cached --others --exclude-standard -- "$@"
}

if ! git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    echo "skipped: not a git checkout"
    exit 77
fi
