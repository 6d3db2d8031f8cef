#!/usr/bin/env bash
# A job whose epochs keep to one order of the records, with noise correlated over steps:
# the dry run shows its price beside the others', epochs are charged, and a process that
# breaks into an epoch pays for it again.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
schedd_start

# ordered NAME EPSILON EPOCHS [BATCH]
ordered() {
    batch=${4:-50} spec "$1" "$2" 1
    sed -i "s/steps: 1,/epochs: $3, sampling: fixed_order, bands: 4,/" "$dir/$1.yaml"
}
rows=$(sed -n 's/.*nominal_count: \([0-9]*\).*/\1/p' "$dir/private.manifest.yaml" | head -1)
bins=$(((rows + 49) / 50))

step "a dry run shows all ways"
ordered first 1.5 4
as alice ppt-submit --dry-run "$dir/first.yaml" >"$dir/dry"
grep -q "^steps  *$((4 * bins))$" "$dir/dry" || die "not $((4 * bins)) steps: $(cat "$dir/dry")"
grep -q '^noise multiplier  *[0-9.]* in 4 bands (as [0-9.]* without)$' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^sampling  *fixed_order: each epoch reads' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^instead  *poisson: noise multiplier' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^instead  *balls_in_bins: noise multiplier' "$dir/dry" || die "$(cat "$dir/dry")"
sed 's/, sampling: fixed_order, bands: 4//' "$dir/first.yaml" >"$dir/sampled.yaml"
as alice ppt-submit --dry-run --json "$dir/sampled.yaml" >"$dir/json"
grep -q '{"sampling": "fixed_order", "epsilon": 1.[0-9]*, "noise_multiplier": [0-9.]*, "bands": 16,' "$dir/json" ||
    die "$(cat "$dir/json")"

step "settled by epochs"
id=$(submit first)
wait_state "$id" "done"
[ "$(field "$id" steps_done)" = $((4 * bins)) ] || die "steps: $(field "$id" steps_done)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) > 1.499"
grep -q '"name": "epoch", "mechanism": "gaussian"' "$dir/jobs/$id/plan.json" ||
    die "another price: $(cat "$dir/jobs/$id/plan.json")"
check_ledger

step "interrupted in an epoch: it is paid for twice, and the last one's steps are missing"
model='{preset: mlp, hidden: 1024}' ordered long 1 600 100
bins=$(((rows + 99) / 100))
id=$(submit long)
wait_metered "$id"
sleep 1
# shellcheck disable=SC2046 # a list
kill -TERM $(rank_pids "$id")
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) <= $(field "$id" epsilon) * 1.000001"
done=$(field "$id" steps_done)
[ "$done" = $((600 * bins)) ] || [ "$done" = $((599 * bins)) ] ||
    die "$done steps of 600 epochs of $bins"
check_ledger
step "ok"
