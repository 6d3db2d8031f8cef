#!/usr/bin/env bash
# Text to a trained model through the whole system: import, a small transformer, private
# and plain. The texts differ in a word that stands anywhere; plain training must learn
# it, private training must at least beat a guess by ten standard errors (400 records; runs gave 1.0).
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
# texts SEED N
texts() {
    awk -v seed="$1" -v n="$2" 'BEGIN { srand(seed); split("the of and to in is it", w, " ")
        for (i = 0; i < n; i++) {
            line = ""; k = 2 + int(rand() * 4); at = int(rand() * k)
            for (j = 0; j < k; j++)
                line = line (j ? " " : "") (j == at ? (i % 2 ? "yes" : "no") : w[1 + int(rand() * 7)])
            print i % 2 "\t" line } }'
}
texts 1 4000 >"$dir/train.tsv"
texts 2 400 >"$dir/test.tsv"
ppt-data import text --train "$dir/train.tsv" --test "$dir/test.tsv" --length 20 --name notes \
    --nominal-count 4000 --nominal-test-count 400 -o "$dir/notes.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/notes.manifest.yaml" -e 8 -d 1e-6 --public

# transformer NAME PRIVACY RATE [BASE]: adapters of rank 2 where there is a base
transformer() {
    local rank=${4:+, rank: 2}
    cat >"$dir/$1.yaml" <<END
name: $1
account: acme/lab
kind: dp
dataset: {name: notes, test: test}
model:
  base: ${4:-null}
  layers:
    - embedding: {out: 16}
    - position: {kind: waves}
    - layer_norm
    - linear: {out: 48$rank}
    - attention: {heads: 2}
    - linear: {out: 16$rank}
    - residual: {over: 4}
    - layer_norm
    - linear: {out: 32}
    - gelu
    - linear: {out: 16}
    - residual: {over: 4}
    - token_mean
    - linear
privacy: $2
training: {steps: 300, batch_size: 256, optimizer: adam, learning_rate: $3, evaluation: public}
resources: {ranks: 2}
output: {model: model.safetensors}
END
}

# train NAME: leaves the accuracy in $accuracy.
train() {
    id=$(submit "$1")
    wait_end "$id" 300
    [ "$(state "$id")" = "done" ] || die "$1: $(field "$id" reason)"
    accuracy=$(field "$id" test_accuracy)
    step "$1: test accuracy $accuracy, $(field "$id" wall_s) s"
}

schedd_start
transformer plain none 0.003
transformer private '{epsilon: 1, delta: 1e-6, clip_norm: 1}' 0.01
train plain
holds "$accuracy >= 0.99" "without privacy"
plain_id=$id
train private
holds "$accuracy >= 0.75" "private"
# Adapters of the plain model; a base that was changed by a bit is refused.
model=$dir/jobs/$plain_id/model.safetensors
grep -qa '"0.embedding.weight"' "$model" || die "the model lacks its embedding"
cp "$model" "$dir/base.safetensors"
transformer adapted '{epsilon: 1, delta: 1e-6, clip_norm: 1}' 0.01 \
    "{file: base.safetensors, sha256: $(sha256sum <"$model" | cut -d' ' -f1)}"
train adapted
holds "$accuracy >= 0.9" "adapted"
adapter=$dir/jobs/$id/model.safetensors
grep -qa '"3.linear.lora_a".*"3.linear.lora_b".*"13.linear.weight"' "$adapter" ||
    die "the adapter lacks its factors"
! grep -qa '"3.linear.weight"' "$adapter" || die "the adapter holds the base"
printf 'x' | dd of="$dir/base.safetensors" bs=1 seek=3000 conv=notrunc 2>/dev/null
id=$(submit adapted)
wait_end "$id" 300
[ "$(state "$id")" = failed ] || die "another base was trained on"
field "$id" reason | grep -q 'not the model.base that the spec names' ||
    die "no word on the base: $(field "$id" reason)"
check_ledger
step "ok"
