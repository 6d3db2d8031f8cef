#!/usr/bin/env bash
# What compression costs and saves, on MNIST by real ranks: bench_fl_compress.sh [--json]
#
# An MLP of 101,770 values, 1,000 clients of unequal records (Dirichlet, alpha 0.5), 20 of
# them a round, 50 rounds of one pass each, two ranks. For each kind the longest message of
# a client in the last round, and test accuracy; the peer is the same job without it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
mpi_seconds=600
# shellcheck source=tests/mpi/lib.sh
. tests/mpi/lib.sh
build=${PPT_BUILD_DIR:-build/release}
worker=$build/worker/ppt-worker plan_tool=$build/tests/mpi/plan_tool
is_json=${1:-}
dir=$(mktemp -d "${TMPDIR:-/tmp}/bench_compress.XXXXXX")
trap 'rm -rf "$dir"' EXIT
mnist=tests/data/mnist
"$build/worker/ppt-data" import idx --name mnist --quiet -o "$dir/mnist.h5" \
    --nominal-count 60000 --nominal-test-count 10000 \
    --train-x $mnist/train-images-idx3-ubyte.gz --train-y $mnist/train-labels-idx1-ubyte.gz \
    --test-x $mnist/t10k-images-idx3-ubyte.gz --test-y $mnist/t10k-labels-idx1-ubyte.gz >/dev/null
"$plan_tool" key "$dir/key"

# show CASE VALUE UNIT PEER_VALUE
show() {
    local ratio
    ratio=$(awk "BEGIN { print $4 / $2 }")
    if [ "$is_json" = --json ]; then
        printf '{"bench": "fl_compress", "case": "%s", "value": %s, "unit": "%s", "peer": "as it is", "peer_value": %s, "ratio": %s}\n' \
            "$1" "$2" "$3" "$4" "$ratio"
    else
        printf '%-44s %12.6g %-8s as it is: %s, %s times\n' "$1" "$2" "$3" "$4" "$ratio"
    fi
}

# run NAME LINE: sets bytes and accuracy
run() {
    mkdir "$dir/$1"
    cat >"$dir/$1.yaml" <<SPEC
name: $1
account: bench
kind: fl
dataset: {name: mnist, test: test, mean: 0.1307, std: 0.3081}
model: mlp
privacy: none
training: {epochs: 1, batch_size: 10, learning_rate: 0.1, evaluation: public}
output: {model: model.safetensors}
resources: {ranks: 2, memory: 2GiB}
federation:
  rounds: 50
  partition: dirichlet
  clients: 1000
  cohort: 20
  selection: fixed
$2
SPEC
    "$plan_tool" plan "$dir/$1.yaml" "$dir/mnist.h5" "$dir/key" "$dir/$1" 1 >/dev/null
    mpi 2 "$worker" --plan "$dir/$1" --public-key "$dir/key.pub" >"$dir/$1.log" 2>&1 ||
        die "$(cat "$dir/$1.log")"
    accuracy=$(sed -nE 's/.*"test_accuracy": ([^,}]*).*/\1/p' "$dir/$1/report.json")
    bytes=$(sed -nE 's/.*"client_bytes": ([0-9]+).*/\1/p' "$dir/$1/rounds.jsonl" | tail -n 1)
}

run plain ''
plain_bytes=$((4 * 101770)) plain_accuracy=$accuracy
for kind in zstd 'qsgd, levels: 15' 'eden, bits: 4' 'eden, bits: 2' 'eden, bits: 1' \
    'low_rank, rank: 4' 'top_k, fraction: 0.01' 'random_k, fraction: 0.01'; do
    run "${kind//[^a-z0-9]/-}" "  compress: {kind: $kind}"
    show "$kind: a client's message" "$bytes" bytes "$plain_bytes"
    show "$kind: accuracy" "$accuracy" "" "$plain_accuracy"
done
