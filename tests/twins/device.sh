#!/usr/bin/env bash
# The kernels beside their twins, on a device or (device.sh simt) on the CPU:
#   device.sh [run]   build with nvcc, compare on the device, then measure; 77: no device
#   device.sh ptxas   build with nvcc only; fails on a warning or a spill; 77: no nvcc
#   device.sh simt    build with g++ and AddressSanitizer, compare on the CPU, where
#                     streams run in the orders of simt.h
#   device.sh engine  on a device: whole steps of training beside the CPU's, then what
#                     privacy costs; 77: no device
#   device.sh engine-simt  the same comparison on the CPU, with AddressSanitizer
# Needs nvcc or g++, and a C compiler; nothing else of what ppt is built with.
set -euo pipefail
cd "${PPT_SOURCE_DIR:-$(dirname "$0")/../..}"
mode=${1:-run}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

nvcc=$(command -v nvcc || ls /usr/local/cuda/bin/nvcc 2>/dev/null || true)
simulated=false
[[ $mode == *simt ]] && simulated=true
if [ "$simulated" = false ] && [ -z "$nvcc" ]; then
    echo "skipped: no nvcc"
    exit 77
fi
if [[ $mode =~ ^(run|engine)$ ]] && ! ls /dev/nvidia[0-9]* >/dev/null 2>&1; then
    echo "skipped: no CUDA device"
    exit 77
fi

kernels=(kernels/*.cu)
defines=(-D_GNU_SOURCE -I.)
c_flags=(-std=c17 -O2 -Wall -Wextra -Werror "${defines[@]}")
sanitize=()
if [ "$simulated" = true ]; then
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
    for name in simt simt_streams; do
        g++ -std=c++20 -O1 -Wall -Wextra -Werror "${sanitize[@]}" "${defines[@]}" \
            -c "tests/twins/$name.cc" -o "$out/cu_$name.o"
    done
}

# build_c FILES
build_c() {
    local file
    for file in "$@"; do
        gcc "${c_flags[@]}" "${sanitize[@]}" -c "$file" \
            -o "$out/c_$(tr / _ <<<"${file%.c}").o"
    done
}

# link PROGRAM FILES_OF_ITS_OWN
link() {
    local program=$1 compiler=(g++ "${sanitize[@]}") libraries=(-lm)
    shift
    if [ "$simulated" = false ]; then
        compiler=("$nvcc") libraries=(-lcublas -lm)
        libraries+=(-Xlinker "-rpath,$(dirname "$nvcc")/../lib64")
    fi
    "${compiler[@]}" -o "$out/$program" "$@" "$out"/c_tests_twins_{twin,gemm_plain}.o \
        "$out"/c_kernels_*.o "$out"/cu_*.o "${libraries[@]}"
}

# All of a program, then in the simulated device's other orders what they can spoil.
run_orders() {
    local order
    "$out/$1"
    if [ "$simulated" = true ]; then
        for order in late-first late-others mixed; do
            PPT_SIMT_ORDER=$order "$out/$1" beside
        done
    fi
}

if [ "$simulated" = true ]; then
    build_simulated_code
else
    build_device_code
fi
if [ "$mode" = ptxas ]; then
    exit 0
fi
build_c kernels/{kernels_cpu,conv2d,pool,norm,act,xent,token,attention,lstm,loss,clip,grid,polar,optim,memory}.c \
    tests/twins/{twin,gemm_plain}.c
case $mode in
run | simt)
    build_c tests/twins/{compare,compare_layers,compare_tokens,compare_grid,compare_beside,bench}.c
    link compare "$out"/c_tests_twins_compare{,_layers,_tokens,_grid,_beside}.o
    run_orders compare
    ;;
engine | engine-simt)
    build_c tests/twins/engine{,_compare,_bench}.c tests/twins/crypto_plain.c \
        base/error.c jobs/comm_alone.c jobs/model/*.c \
        jobs/dp/{trainer,noise,early,step_noise,correlated,sampler,deck,lanes,schedule,feed,stretch,loader,threshold,votes,fixed}.c \
        jobs/privacy/{split,price_split,correlation}.c
    engine=("$out"/c_tests_twins_{engine,crypto_plain}.o "$out"/c_base_*.o
        "$out"/c_jobs_*.o)
    link engine_compare "$out"/c_tests_twins_engine_compare.o "${engine[@]}"
    run_orders engine_compare
    ;;
esac
case $mode in
run)
    link bench "$out"/c_tests_twins_bench.o
    "$out/bench"
    ;;
engine)
    link engine_bench "$out"/c_tests_twins_engine_bench.o "${engine[@]}"
    "$out/engine_bench"
    ;;
esac
