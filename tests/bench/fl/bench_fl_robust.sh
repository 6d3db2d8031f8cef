#!/usr/bin/env bash
# Robust rules on MNIST by real ranks: bench_fl_robust.sh [--json]
#
# 25 clients of unequal records (Dirichlet, alpha 0.5), 5 of them false, client momentum 0.97,
# 600 rounds of one step each. Three seeds, which draw records, first weights and who is
# false; every figure is the mean over them, in points of test accuracy. First what each
# rule costs where nobody is false, then what centered clipping (of each update mixed with
# its nearest) loses to each attack against itself without one, in the clear and over groups
# of 3 by secure aggregation (where nothing is mixed); and what the mean loses. Takes half an hour; SEEDS="0" a third of it.
set -euo pipefail
mpi_seconds=1200 # for lib.sh
# shellcheck source=tests/bench/fl/lib.sh
. "$(dirname "$0")/lib.sh"
read -ra seeds <<<"${SEEDS:-0 1 2}"
attacks=(sign_flip label_flip mimic ipm alie)
clip='clip_norm: 0.4'

# run SEED LINES: prints the accuracy of a job whose federation has these lines too
run() {
    local name
    name=$(basename "$(mktemp -u "$dir/job.XXXXXX")")
    cat >"$dir/$name.yaml" <<SPEC
name: robust
account: bench
kind: fl
dataset: {name: mnist, test: test, mean: 0.1307, std: 0.3081}
model: {preset: mlp, hidden: 32}
privacy: none
training: {steps: 1, batch_size: 32, learning_rate: 0.6, seed: $1, evaluation: public}
output: {model: model.safetensors}
resources: {ranks: 2, memory: 2GiB}
federation:
  rounds: 600
  partition: dirichlet
  alpha: 0.5
  clients: 25
  cohort: 25
  selection: fixed
  client_momentum: 0.97
$2
SPEC
    make_plan "$name"
    train "$name" 2
    report "$name" test_accuracy
}

# points LINES: the mean accuracy over the seeds, in points
points() {
    local seed
    for seed in "${seeds[@]}"; do
        run "$seed" "$1"
    done | awk '{ sum += $1; n++ } END { printf "%.2f", 100 * sum / n }'
}

# compare CASE MEAN LINES: what these lines cost, in points below MEAN
compare() {
    local value # an assignment of its own: a job that fails ends the script
    value=$(points "$3")
    show "$1" "$(less "$2" "$value")"
}

# show CASE VALUE
show() {
    if [ "$is_json" = --json ]; then
        printf '{"bench": "fl_robust", "case": "%s", "value": %s, "unit": "points", "peer": null, "peer_value": null, "ratio": null}\n' "$1" "$2"
    else
        printf '%-60s %8.2f points\n' "$1" "$2"
    fi
}

less() {
    awk "BEGIN { printf \"%.2f\", $1 - $2 }"
}

# under NAME LINES CONTROL: what each attack costs, and the worst
under() {
    local attack worst=-100 drop
    for attack in "${attacks[@]}"; do
        drop=$(points "$2
  attack: {kind: $attack, clients: 5}")
        drop=$(less "$3" "$drop")
        show "$1 under $attack, drop" "$drop"
        worst=$(awk "BEGIN { print ($drop > $worst) ? $drop : $worst }")
    done
    show "$1, worst drop" "$worst"
}

rule() {
    echo "  robust: {rule: $1, byzantine: 5${2:+, $2}}"
}

mean=$(points "")
show "nobody is false: mean, accuracy" "$mean"
for name in krum multi_krum median trimmed_mean bulyan geometric_median; do
    compare "nobody is false: $name, cost" "$mean" "$(rule $name)"
done
compare "nobody is false: norm_bound, cost" "$mean" "$(rule norm_bound "$clip")"
lines=$(rule centered_clipping "$clip, before: nearest")
control=$(points "$lines")
show "nobody is false: centered_clipping, cost" "$(less "$mean" "$control")"
under "centered_clipping" "$lines" "$control"
lines="$(rule centered_clipping "$clip")
  aggregation: secagg
  secagg: {max_norm: 4, min_clients: 3, group: 3}"
control=$(points "$lines")
show "nobody is false: centered_clipping over groups, cost" "$(less "$mean" "$control")"
under "groups of 3 by secagg" "$lines" "$control"
under "mean" "" "$mean"
