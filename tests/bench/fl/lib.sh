#!/usr/bin/env bash
# Shared by the benchmarks of federations: MNIST as a data set in $dir, which is the
# script's own, and plans for jobs on it. A script whose jobs take longer than a test may
# sets mpi_seconds before.
# shellcheck disable=SC2034 # for the scripts
cd "$(dirname "${BASH_SOURCE[0]}")/../../.." || exit 1
# shellcheck source=tests/mpi/lib.sh
. tests/mpi/lib.sh
build=${PPT_BUILD_DIR:-build/release}
worker=$build/worker/ppt-worker plan_tool=$build/tests/mpi/plan_tool
is_json=${1:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/bench_fl.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mnist=tests/data/mnist
"$build/worker/ppt-data" import idx --name mnist --quiet -o "$dir/mnist.h5" \
    --nominal-count 60000 --nominal-test-count 10000 \
    --train-x $mnist/train-images-idx3-ubyte.gz --train-y $mnist/train-labels-idx1-ubyte.gz \
    --test-x $mnist/t10k-images-idx3-ubyte.gz --test-y $mnist/t10k-labels-idx1-ubyte.gz >/dev/null
"$plan_tool" key "$dir/key"

# make_plan NAME: of $dir/NAME.yaml, in $dir/NAME
make_plan() {
    mkdir "$dir/$1"
    "$plan_tool" plan "$dir/$1.yaml" "$dir/mnist.h5" "$dir/key" "$dir/$1" 1 >/dev/null
}

# train NAME RANKS [COMMAND...]: runs the plan, by that command; a job that fails ends the
# script, its log shown
train() {
    local name=$1 ranks=$2
    shift 2
    mpi "$ranks" "$@" "$worker" --plan "$dir/$name" --public-key "$dir/key.pub" \
        >"$dir/$name.log" 2>&1 || die "$(cat "$dir/$name.log")" >&2
}

# report NAME KEY
report() {
    sed -nE "s/.*\"$2\": ([^,}]*).*/\1/p" "$dir/$1/report.json"
}
