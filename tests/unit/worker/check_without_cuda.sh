#!/usr/bin/env bash
# ppt-worker is linked with none of CUDA's libraries, which each rank would pay for; the
# module that it opens for GPUs is.
#   check_without_cuda.sh PPT_WORKER MODULE
set -euo pipefail
pattern='libcu(da|dart|blas|blasLt)\.so'
if ldd "$1" | grep -E "$pattern"; then
    echo "FAILED: $1 is linked with CUDA" >&2
    exit 1
fi
readelf -d "$2" | grep -qE "NEEDED.*$pattern" || {
    echo "FAILED: $2 is not linked with CUDA" >&2
    exit 1
}
[ "$(nm -D --defined-only "$2" | awk '{ print $3 }')" = ppt_device_module ] || {
    echo "FAILED: $2 hands out more than its table: $(nm -D --defined-only "$2")" >&2
    exit 1
}
