#!/usr/bin/env bash
# The kernels beside their twins, on a device or (device.sh simt) on the CPU:
#   device.sh [run]   build with nvcc, compare on the device, then measure; 77: no device
#   device.sh ptxas   build with nvcc only; fails on a warning or a spill; 77: no nvcc
#   device.sh simt    build with g++ and AddressSanitizer, compare on the CPU
# Needs nvcc or g++, and a C compiler; nothing else of what ppt is built with.
set -euo pipefail
cd "${PPT_SOURCE_DIR:-$(dirname "$0")/../..}"
mode=${1:-run}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
if [ "$mode" != simt ] && [ -z "$nvcc" ]; then
    echo "skipped: no nvcc"
    exit 77
fi
if [ "$mode" = run ] && ! ls /dev/nvidia[0-9]* >/dev/null 2>&1; then
    echo "skipped: no CUDA device"
    exit 77
fi

kernels=(kernels/*.cu)
defines=(-D_GNU_SOURCE -I.)
c_flags=(-std=c17 -O2 -Wall -Wextra -Werror "${defines[@]}")
sanitize=()
if [ "$mode" = simt ]; then
    sanitize=('-fsanitize=address,undefined' -fno-sanitize-recover=all -g)
fi

# Every .cu with nvcc; what ptxas says of it must hold no spill and no warning.
build_device_code() {
    local pids=() pid failed=0 file name
    for file in "${kernels[@]}"; do
        name=$(basename "$file" .cu)
        "$nvcc" -std=c++20 -O3 -Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror \
            -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 \
            -Xptxas=-v "${defines[@]}" -c "$file" -o "$out/cu_$name.o" \
            >"$out/$name.log" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    if [ "$failed" = 1 ] || grep -hi 'warning' "$out"/*.log; then
        cat "$out"/*.log
        echo "FAIL: the kernels do not compile without warnings"
        return 1
    fi
    local n_reports
    n_reports=$(cat "$out"/*.log | grep -c 'bytes spill stores')
    echo "ptxas: $n_reports reports on kernels for sm_80 and sm_90"
    if [ "$n_reports" -lt 40 ]; then
        echo "FAIL: ptxas said nothing of the kernels"
        return 1
    fi
    if grep -h 'bytes spill stores' "$out"/*.log |
        grep -v ' 0 bytes spill stores, 0 bytes spill loads'; then
        echo "FAIL: registers are spilled"
        return 1
    fi
}

build_simulated_code() {
    local file name
    for file in "${kernels[@]}"; do
        name=$(basename "$file" .cu)
        g++ -std=c++20 -O1 -Wall -Wextra -Werror -Wno-unknown-pragmas "${sanitize[@]}" \
            "${defines[@]}" -include tests/twins/simt.h -x c++ -c "$file" \
            -o "$out/cu_$name.o"
    done
    g++ -std=c++20 -O1 -Wall -Wextra -Werror "${sanitize[@]}" "${defines[@]}" \
        -c tests/twins/simt.cc -o "$out/cu_simt.o"
}

build_c() {
    local file
    for file in kernels/{kernels_cpu,conv2d,pool,norm,act,xent,clip,grid,polar,optim}.c \
        tests/twins/*.c; do
        gcc "${c_flags[@]}" "${sanitize[@]}" -c "$file" \
            -o "$out/c_$(basename "$file" .c).o"
    done
}

# link PROGRAM FILES_OF_ITS_OWN
link() {
    local program=$1 compiler=(g++ "${sanitize[@]}") libraries=(-lm)
    shift
    if [ "$mode" != simt ]; then
        compiler=("$nvcc") libraries=(-lcublas -lm)
        libraries+=(-Xlinker "-rpath,$(dirname "$nvcc")/../lib64")
    fi
    "${compiler[@]}" -o "$out/$program" "$@" "$out"/c_{twin,gemm_plain}.o \
        "$out"/c_{kernels_cpu,conv2d,pool,norm,act,xent,clip,grid,polar,optim}.o \
        "$out"/cu_*.o "${libraries[@]}"
}

if [ "$mode" = simt ]; then
    build_simulated_code
else
    build_device_code
fi
if [ "$mode" = ptxas ]; then
    exit 0
fi
build_c
link compare "$out"/c_compare{,_layers,_grid}.o
"$out/compare"
if [ "$mode" = run ]; then
    link bench "$out"/c_bench.o
    "$out/bench"
fi
