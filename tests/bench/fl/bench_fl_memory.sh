#!/usr/bin/env bash
# What a rank of a large federation takes: bench_fl_memory.sh [--json]
#
# MNIST dealt to 10,000 clients, a network of 100,180 parameters, 8 ranks, three rounds of
# 100 and of 1,000 clients in the clear and by secure aggregation; each rank's peak resident
# set, the largest, with the training records that it holds.
set -euo pipefail
mpi_seconds=900 # for lib.sh
# shellcheck source=tests/bench/fl/lib.sh
. "$(dirname "$0")/lib.sh"
# a rank that tells the kernel's figure when it ends
cat >"$dir/rank" <<'END'
#!/bin/sh
exec /usr/bin/env time -f %M -o "$PPT_BENCH_DIR/rss.$OMPI_COMM_WORLD_RANK" "$@"
END
chmod +x "$dir/rank"

# run NAME COHORT [LINE]: leaves the largest rank's MiB in $peak
run() {
    cat >"$dir/$1.yaml" <<SPEC
name: $1
account: bench
kind: fl
dataset: {name: mnist, test: test, mean: 0.1307, std: 0.3081}
model: {preset: mlp, hidden: 126}
privacy: none
training: {epochs: 1, batch_size: 10, learning_rate: 0.03}
resources: {ranks: 8, memory: 4GiB}
federation:
  rounds: 3
  partition: iid
  clients: 10000
  cohort: $2
  selection: fixed
  ${3:-weighting: examples}
SPEC
    make_plan "$1"
    PPT_BENCH_DIR="$dir/$1" train "$1" 8 -x PPT_BENCH_DIR "$dir/rank"
    peak=$(sort -n "$dir/$1"/rss.* | tail -n 1 | awk '{ print $1 / 1024 }')
}

show() {
    if [ "$is_json" = --json ]; then
        printf '{"bench": "fl_memory", "case": "%s", "value": %s, "unit": "MiB"}\n' "$1" "$peak"
    else
        printf '%-52s %12.1f MiB\n' "$1" "$peak"
    fi
}

[ -x /usr/bin/time ] || die "the program time is wanted (package time)"
run small 100
show "100 of 10,000 clients a round, in the clear"
run large 1000
show "1,000 of 10,000 clients a round, in the clear"
secagg="aggregation: secagg
  secagg: {max_norm: 2, corrupt: 0.05, dropout: 0.05}"
run hidden 100 "$secagg"
show "100 a round, by secure aggregation"
run hidden-more 1000 "$secagg"
show "1,000 a round, by secure aggregation"
