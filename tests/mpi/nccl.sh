#!/usr/bin/env bash
# nccl.sh MPI_NCCL KERNELS_MODULE NCCL_MODULE: on one rank and on two, which may share a
# device and then are told to meet elsewhere; 77: no device.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
if ! ls /dev/nvidia[0-9]* >/dev/null 2>&1; then
    echo "skipped: no CUDA device"
    exit 77
fi
mpi 1 "$@"
mpi 2 "$@"
