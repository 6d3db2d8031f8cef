#!/usr/bin/env bash
# one_run.sh PPT_WORKER PLAN_TOOL CANARIES EPSILON: the audit from one run (T4), of two
# ranks of the real worker; a second run of the same job must have noise of its own.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/../mpi/lib.sh"
worker=$1 plan_tool=$2 canaries=$3 epsilon=$4
dir=$(mktemp -d "${TMPDIR:-/tmp}/audit.XXXXXX")
trap 'rm -rf "$dir"' EXIT

"$canaries" data "$dir/canaries.h5" "$dir/coins"
"$plan_tool" key "$dir/key"
# All of the nominal count in every step. A canary's feature is 1 / 0.05, so that its
# gradient is longer than the clip norm and lies all but along that feature; the rate is
# so small that it stays so.
cat >"$dir/job.yaml" <<SPEC
name: canaries
account: audit
kind: dp
dataset: {name: canaries, train: train, test: null, std: 0.05}
model: logistic
privacy: {epsilon: $epsilon, delta: 1e-6, clip_norm: 1.0}
training: {steps: 20, batch_size: 2500, learning_rate: 0.3}
resources: {ranks: 2}
SPEC
for job in one two; do
    mkdir "$dir/$job"
    "$plan_tool" plan "$dir/job.yaml" "$dir/canaries.h5" "$dir/key" "$dir/$job" 1
    mpi 2 "$worker" --plan "$dir/$job" --public-key "$dir/key.pub" 2>"$dir/log" ||
        die "$(cat "$dir/log")"
done
"$canaries" score "$dir/one" "$dir/key.pub" "$dir/coins" "$dir/two"
