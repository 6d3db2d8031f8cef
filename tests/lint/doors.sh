#!/usr/bin/env bash
# Each foreign library stands behind one door file; its headers appear nowhere else.
# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

# header pattern, then the files that may include it
doors=(
    'openssl/|base/crypto.c'
    'yaml.h|base/ydoc.c'
    'libpq-fe.h|scheduler/db.c'
    'mpi.h|worker/comm_mpi.c worker/ppt-worker.c'
    'hdf5.h|worker/h5_inside.h'
    'cblas.h|kernels/gemm.c'
    'zlib.h|worker/gz.c'
    'zstd.h|jobs/fl/lossless.c'
    'gmp.h|jobs/he/paillier.c'
    'pmix|worker/wireup.c'
    'nccl.h|worker/comm_nccl.c'
)

for door in "${doors[@]}"; do
    pattern=${door%%|*} allowed=" ${door#*|} "
    while IFS=: read -r file line _; do
        [[ $allowed == *" $file "* ]] ||
            fault "$file:$line: <$pattern> belongs behind${allowed% }"
    done < <(files 'base/*' 'kernels/*' 'jobs/*' 'worker/*' 'scheduler/*' |
        grep -E '\.[ch]$' | xargs grep -nE "^ *# *include *<$pattern" /dev/null)
done
finish
