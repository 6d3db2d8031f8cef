#!/usr/bin/env bash
# What compression costs and saves, on MNIST by real ranks: bench_fl_compress.sh [--json]
#
# An MLP of 101,770 values, 1,000 clients of unequal records (Dirichlet, alpha 0.5), 20 of
# them a round, 50 rounds of one pass each, two ranks. For each kind the longest message of
# a client in the last round, and test accuracy; the peer is the same job without it. At the
# end what adds up by secure aggregation, in masked messages.
set -euo pipefail
mpi_seconds=600 # for lib.sh
# shellcheck source=tests/bench/fl/lib.sh
. "$(dirname "$0")/lib.sh"

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
    make_plan "$1"
    train "$1" 2
    accuracy=$(report "$1" test_accuracy)
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
for kind in 'low_rank, rank: 8' 'low_rank, rank: 4' 'random_k, fraction: 0.02'; do
    run "masked-${kind//[^a-z0-9]/-}" "  compress: {kind: $kind}
  aggregation: secagg
  secagg: {max_norm: 8}"
    show "under masks, $kind: a client's message" "$bytes" bytes "$plain_bytes"
    show "under masks, $kind: accuracy" "$accuracy" "" "$plain_accuracy"
done
