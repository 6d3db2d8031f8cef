#!/usr/bin/env bash
# A job whose records are dealt, balls in bins: the dry run shows both ways to draw them,
# epochs are what is charged and counted, an interrupted epoch is paid for twice, and a
# refusal speaks of epochs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
schedd_start

# dealt NAME EPSILON EPOCHS [BATCH]
dealt() {
    batch=${4:-50} spec "$1" "$2" 1
    sed -i "s/steps: 1,/epochs: $3, sampling: balls_in_bins,/" "$dir/$1.yaml"
}
rows=$(sed -n 's/.*nominal_count: \([0-9]*\).*/\1/p' "$dir/private.manifest.yaml" | head -1)
bins=$(((rows + 49) / 50))

step "a dry run shows the other way as well"
dealt first 1.5 4
as alice ppt-submit --dry-run "$dir/first.yaml" >"$dir/dry"
grep -q "^steps  *$((4 * bins))$" "$dir/dry" || die "not $((4 * bins)) steps: $(cat "$dir/dry")"
grep -q '^sampling  *balls_in_bins: each record is read once an epoch' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^instead  *poisson: noise multiplier' "$dir/dry" || die "$(cat "$dir/dry")"
sed 's/, sampling: balls_in_bins//' "$dir/first.yaml" >"$dir/sampled.yaml"
as alice ppt-submit --dry-run "$dir/sampled.yaml" >"$dir/poisson"
grep -q '^instead  *balls_in_bins: noise multiplier' "$dir/poisson" || die "$(cat "$dir/poisson")"
other=$(sed -n 's/^instead .*noise multiplier \([0-9.]*\),.*/\1/p' "$dir/poisson")
own=$(sed -n 's/^noise multiplier  *//p' "$dir/dry")
[ "$other" = "$own" ] || die "one price is $own, told beside the other as $other"
as alice ppt-submit --dry-run --json "$dir/first.yaml" >"$dir/json"
grep -q '"other_sampling": \[{"sampling": "poisson"' "$dir/json" || die "$(cat "$dir/json")"

step "settled by epochs"
id=$(submit first)
wait_state "$id" "done"
[ "$(field "$id" steps_done)" = $((4 * bins)) ] || die "steps: $(field "$id" steps_done)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) > 1.499"
grep -q '"name": "epoch", "mechanism": "random-allocation"' "$dir/jobs/$id/plan.json" ||
    die "another price: $(cat "$dir/jobs/$id/plan.json")"
check_ledger

step "how long each way takes is told by a job that drew so, and by no other"
as alice ppt-submit --dry-run "$dir/first.yaml" >"$dir/dry" || true
grep -q "^training .* a step of job $id\$" "$dir/dry" || die "no time: $(cat "$dir/dry")"
as alice ppt-submit --dry-run "$dir/sampled.yaml" >"$dir/dry" || true
grep -q '^training' "$dir/dry" && die "a time by no job: $(cat "$dir/dry")"
grep -q "^instead  *balls_in_bins: .*, about .* by job $id\$" "$dir/dry" || die "$(cat "$dir/dry")"
grep '^instead  *fixed_order' "$dir/dry" | grep -q 'by job' && die "$(cat "$dir/dry")"
as alice ppt-submit --dry-run --json "$dir/sampled.yaml" >"$dir/json" || true
grep -q "\"sampling\": \"balls_in_bins\".*\"by_job\": $id" "$dir/json" || die "$(cat "$dir/json")"

step "interrupted in an epoch: it is paid for twice, and the last one's steps are missing"
model='{preset: mlp, hidden: 1024}' dealt long 1 3000 100
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
[ "$done" = $((3000 * bins)) ] || [ "$done" = $((2999 * bins)) ] ||
    die "$done steps of 3000 epochs of $bins"
check_ledger

step "a refusal names epochs"
dealt much 1 800
sed -i 's/epsilon: 1,/noise_multiplier: 6,/' "$dir/much.yaml"
id=$(submit much)
wait_state "$id" refused
field "$id" reason | grep -q 'the most epochs this job could ask for' || die "$(field "$id" reason)"
most=$(field "$id" reason | sed -n 's/.*the most epochs this job could ask for are \([0-9]*\).*/\1/p')
sed -i "s/epochs: 800/epochs: $most/" "$dir/much.yaml"
id=$(submit much)
wait_state "$id" "done"
check_ledger
step "ok"
