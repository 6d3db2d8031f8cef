#!/usr/bin/env bash
# A job walks: submitted, admitted, run by two ranks, settled. Every figure on the way is
# compared with what the others say.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
schedd_start

step "a dry run says the price and writes nothing"
spec first 1.5 300
as alice ppt-submit --dry-run "$dir/first.yaml" >"$dir/dry"
grep -q '^privacy .*epsilon 1.5' "$dir/dry" || die "no price in: $(cat "$dir/dry")"
grep -q '^acme (all data) .* yes' "$dir/dry" || die "no level in: $(cat "$dir/dry")"
grep -q '^data set private ' "$dir/dry" || die "no data set in: $(cat "$dir/dry")"
sed 's/clip_norm: 1/clip_norm: 1, clipping: quantile/' "$dir/first.yaml" >"$dir/follows.yaml"
as alice ppt-submit --dry-run "$dir/follows.yaml" >"$dir/divided"
diff <(grep -E '^(privacy|noise)' "$dir/dry") <(grep -E '^(privacy|noise)' "$dir/divided") ||
    die "a clip norm that follows a quantile has another price"
grep -q '^divided into .* for the gradients, .* for the count' "$dir/divided" ||
    die "not told how the noise is divided: $(cat "$dir/divided")"
grep -q '^divided' "$dir/dry" && die "a fixed clip norm divides nothing"
as alice ppt-submit --dry-run --json "$dir/follows.yaml" >"$dir/json"
noise=$(sed -n 's/.*"noise_multiplier": \([0-9.e+-]*\).*/\1/p' "$dir/json")
gradient=$(sed -n 's/.*"gradient_noise": \([0-9.e+-]*\).*/\1/p' "$dir/json")
count=$(sed -n 's/.*"count_noise": \([0-9.e+-]*\).*/\1/p' "$dir/json")
holds "1 / $gradient^2 + 1 / (2 * $count)^2 <= 1.000001 / $noise^2 && $gradient > $noise"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 0 ] || die "a dry run made a job"

step "the real one"
id=$(submit first)
[ "$id" = 1 ] || die "the id alone is expected on stdout, not '$id'"
as alice ppt-queue wait "$id" 2>"$dir/moves"
for move in submitted admitted running "done"; do
    grep -q "job 1: $move" "$dir/moves" || die "no $move in: $(cat "$dir/moves")"
done

step "settled in full: all steps were made"
[ "$(state 1)" = "done" ]
[ "$(field 1 steps_done)" = 300 ] || die "steps: $(field 1 steps_done)"
holds "$(field 1 epsilon_spent) == $(field 1 epsilon)"
holds "$(field 1 epsilon) <= 1.5 && $(field 1 epsilon) > 1.499"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'release'
          AND 0 = ALL (rho)")" = 1 ] || die "something was left to release"
holds "$(reserved acme) == 0"
holds "$(spent acme) >= 1.499 && $(spent acme) < 2.2"
check_ledger

step "the model is where the queue says"
[ -s "$(field 1 model)" ] || die "no model at '$(field 1 model)'"
as alice ppt-queue log 1 | grep -q step || die "an empty log"
as alice ppt-queue show 1 | grep -q '^state  *done' || die "show"
as alice ppt-queue | grep -q 'first .* done' || die "list"
as bob ppt-queue --all | grep -q first && die "bob sees a job of alice's account"
as officer ppt-budget history acme | grep -q 'spend .* first' || die "history"
as officer ppt-budget history 1 | grep -q 'reserve' || die "history of a job"

step "a dry run tells what the ranks would take, and refuses less"
grep -q '^memory .*about .*MiB a rank, .* in all; the job asks for 1.0 GiB$' "$dir/dry" ||
    die "no memory in: $(cat "$dir/dry")"
sed 's/memory: 1GiB/memory: 24MiB/' "$dir/first.yaml" >"$dir/small.yaml"
grep -q '^ *micro-batches of [0-9]*$' "$dir/dry" || die "no micro-batch in: $(cat "$dir/dry")"
words='resources.memory: a rank would take about'
expect 10 "$words" as alice ppt-submit --dry-run "$dir/small.yaml"

step "nor is a job filed that asks for less; what is said to be enough is, and no less is"
newest=$(sql "SELECT max(id) FROM ppt.job")
expect 10 'and the job asks for 12.0 MiB a rank' as alice ppt-submit "$dir/small.yaml"
least=$(sed -n 's/.*write memory: \([0-9]*\)MiB or more.*/\1/p' "$dir/err")
sed "s/memory: 1GiB/memory: ${least}MiB/" "$dir/first.yaml" >"$dir/least.yaml"
sed "s/memory: 1GiB/memory: $((least - 2))MiB/" "$dir/first.yaml" >"$dir/less.yaml"
sed 's/learning_rate: 0.1, //' "$dir/small.yaml" >"$dir/sweep.yaml"
printf 'sweep:\n  training.learning_rate: [0.1, 0.2]\n' >>"$dir/sweep.yaml"
expect 10 "$words" as alice ppt-submit "$dir/sweep.yaml"
expect 10 "less.yaml: $words" as alice ppt-submit "$dir/small.yaml" "$dir/less.yaml"
[ "$(sql "SELECT max(id) FROM ppt.job")" = "$newest" ] || die "a job was filed"
as alice ppt-submit --dry-run "$dir/least.yaml" >/dev/null
step "a dry run tells how long such a job takes, once one has run"
grep -q '^training' "$dir/dry" && die "an estimate by no job"
spec longer 1.5 3000
as alice ppt-submit --dry-run "$dir/longer.yaml" >"$dir/dry" || true
grep -q '^training .*about .*: an estimate, by the .* s a step of job 1$' "$dir/dry" ||
    die "no estimate: $(cat "$dir/dry")"
sed 's/ranks: 2/ranks: 1/' "$dir/longer.yaml" >"$dir/alone.yaml"
as alice ppt-submit --dry-run "$dir/alone.yaml" >"$dir/dry" || true
grep -q '^training' "$dir/dry" && die "one rank is not two: $(cat "$dir/dry")"
as alice ppt-submit --dry-run --json "$dir/longer.yaml" >"$dir/json" || true
holds "$(sed -n 's/.*"training_s": \([0-9.e+-]*\).*/\1/p' "$dir/json") > 0"

step "a job without privacy on public data costs nothing"
spec plain none 200 "output: {model: plain.h5}"
before=$(spent acme)
id=$(submit plain)
wait_state "$id" "done"
holds "$(spent acme) == $before"
[ "$(basename "$(field "$id" model)")" = plain.h5 ] || die "$(field "$id" model)"

step "but is refused on private data"
sed 's/name: public/name: private/' "$dir/plain.yaml" >"$dir/sly.yaml"
id=$(submit sly)
wait_state "$id" refused
field "$id" reason | grep -q 'not public' || die "$(field "$id" reason)"

step "ppt-submit --wait, with its exit status"
as alice ppt-submit --wait "$dir/plain.yaml" >"$dir/out" 2>/dev/null
[ "$(cat "$dir/out")" = 4 ] || die "stdout: $(cat "$dir/out")"
expect 22 "not public" as alice ppt-submit --wait "$dir/sly.yaml"

step "schedd stops cleanly and comes back"
schedd_stop
grep -q 'stopped; running jobs go on' "$dir/schedd.log"
schedd_start
id=$(submit plain)
wait_state "$id" "done"
check_ledger
step "ok"
