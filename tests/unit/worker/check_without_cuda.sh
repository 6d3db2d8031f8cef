#!/usr/bin/env bash
# ppt-worker is linked with none of the libraries of CUDA, which each rank would pay for; a
# module that it opens for GPUs is, and hands out NAME alone.
#   check_without_cuda.sh PPT_WORKER MODULE NAME
set -euo pipefail
pattern='lib(cuda|cudart|cublas|cublasLt|nccl)\.so'
if ldd "$1" | grep -E "$pattern"; then
    echo "FAILED: $1 is linked with CUDA" >&2
    exit 1
fi
readelf -d "$2" | grep -qE "NEEDED.*$pattern" || {
    echo "FAILED: $2 is not linked with CUDA" >&2
    exit 1
}
[ "$(nm -D --defined-only "$2" | awk '{ print $3 }')" = "$3" ] || {
    echo "FAILED: $2 hands out more than its table: $(nm -D --defined-only "$2")" >&2
    exit 1
}
