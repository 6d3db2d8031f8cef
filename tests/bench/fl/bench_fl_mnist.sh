#!/usr/bin/env bash
# A federation on MNIST by real ranks: bench_fl_mnist.sh [--json]
#
# Softmax regression, 1,000 clients, 10 of them a round, 100 rounds, batches of 10 at rate
# 0.03, two ranks: time of the rounds, accuracy, and that 1, 2, 4 and 8 ranks give the same
# model; then 20 a round by secure aggregation and in the clear. Beside wall time the CPU time
# of all processes, their start included: it says whether the program or the machine has
# become slower. The peer's time is its own for the like of the first (FLUTE's README, CPU),
# not run here.
set -euo pipefail
# shellcheck source=tests/bench/fl/lib.sh
. "$(dirname "$0")/lib.sh"
TIMEFORMAT=%U

# run NAME RANKS ROUNDS COHORT [LINE]: a job in $dir/NAME
run() {
    cat >"$dir/$1.yaml" <<SPEC
name: $1
account: bench
kind: fl
dataset: {name: mnist, test: test, mean: 0.1307, std: 0.3081}
model: logistic
privacy: none
training: {epochs: 1, batch_size: 10, learning_rate: 0.03, evaluation: public}
output: {model: model.safetensors}
resources: {ranks: $2, memory: 2GiB}
federation:
  rounds: $3
  partition: iid
  clients: 1000
  cohort: $4
  selection: fixed
  ${5:-weighting: examples}
SPEC
    make_plan "$1"
    { time train "$1" "$2" 2>&3; } 3>&2 2>"$dir/$1.cpu"
}

# show CASE VALUE UNIT [PEER PEER_VALUE]
show() {
    local peer=${4:-} peer_value=${5:-null} ratio=null
    [ -z "$peer" ] || ratio=$(awk "BEGIN { print $peer_value / $2 }")
    if [ "$is_json" = --json ]; then
        [ -n "$peer" ] && peer="\"$peer\"" || peer=null
        printf '{"bench": "fl_mnist", "case": "%s", "value": %s, "unit": "%s", "peer": %s, "peer_value": %s, "ratio": %s}\n' \
            "$1" "$2" "$3" "$peer" "$peer_value" "$ratio"
    else
        printf '%-52s %12.4g %-8s %s\n' "$1" "$2" "$3" \
            "${peer:+$peer: $peer_value, $ratio times}"
    fi
}

# The model's tensors, without the head that names the job.
digest() {
    local head
    head=$(od -An -t u8 -N 8 "$dir/$1/model.safetensors")
    tail -c "+$((head + 9))" "$dir/$1/model.safetensors" | sha256sum
}

run two 2 100 10
show "100 rounds of 10 clients, 2 ranks" "$(report two wall_s)" s "FLUTE's own figure" 200
show "the same, CPU time" "$(tail -n 1 "$dir/two.cpu")" s
show "accuracy" "$(report two test_accuracy)" ""
for ranks in 1 4 8; do
    run "ranks-$ranks" $ranks 100 10
    [ "$(digest "ranks-$ranks")" = "$(digest two)" ] || die "$ranks ranks: another model"
done
show "numbers of ranks that give the same bytes" 4 ""
run secagg 2 100 20 "aggregation: secagg
  secagg: {max_norm: 2, corrupt: 0.05, dropout: 0.05}"
show "100 rounds of 20 clients by secagg, 2 ranks" "$(report secagg wall_s)" s
show "the same, CPU time" "$(tail -n 1 "$dir/secagg.cpu")" s
run clear 2 100 20
show "100 rounds of 20 clients in the clear, 2 ranks" "$(report clear wall_s)" s
show "the same, CPU time" "$(tail -n 1 "$dir/clear.cpu")" s
