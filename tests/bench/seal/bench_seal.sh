#!/usr/bin/env bash
# bench_seal.sh [--json]: what sealed channels cost beside plain ones, on 2 and 4 ranks of
# this machine; with 8, what adding up by nodes saves.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../../mpi/lib.sh"
for ranks in 2 4 8; do
    mpi "$ranks" "${PPT_BUILD_DIR:?set by tests/bench/run}/tests/bench/seal/seal_cost" "$@"
done
