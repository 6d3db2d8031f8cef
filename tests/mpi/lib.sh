#!/usr/bin/env bash
# Shared by the MPI tests: mpirun as it must be started here, and small checks.
set -euo pipefail
dir= # a directory of the test's own, made by it
export ASAN_OPTIONS=detect_leaks=0 # the MPI library leaks by design
export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
if [ "$(id -u)" = 0 ]; then
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
command -v mpirun >/dev/null || {
    echo "skipped: no mpirun"
    exit 77
}

# At most a minute and a half, unless the script says otherwise before; the number of ranks
# and the command follow.
mpi_command=(timeout -k 5 "${mpi_seconds:-90}" mpirun --oversubscribe --mca mpi_yield_when_idle 1
    --mca btl_base_warn_component_unused 0 -n)

# mpi RANKS COMMAND...
mpi() {
    "${mpi_command[@]}" "$@"
}

die() {
    echo "FAILED: $*"
    exit 1
}

# expect STATUS WORDS COMMAND...: runs it; the status and the words on stderr must fit.
expect() {
    local status=$1 words=$2 got=0
    shift 2
    "$@" >"$dir/out" 2>"$dir/err" || got=$?
    [ "$got" = "$status" ] || die "status $got, expected $status: $* $(cat "$dir/err")"
    grep -qF -- "$words" "$dir/err" || die "no \"$words\" in: $(cat "$dir/err")"
}
