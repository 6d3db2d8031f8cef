#!/usr/bin/env bash
# comm.sh PROGRAM RANKS [CASE]
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
mpi "$2" "$1" "${3:-all}"
