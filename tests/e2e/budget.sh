#!/usr/bin/env bash
# The budget decides: a refused job is told the largest request that fits (and that one
# does fit); a job that would fit later waits and is admitted after a settlement.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2
as officer ppt-budget grant acme/lab --epsilon 2 --delta 1e-6
schedd_start

step "more than the account has: refused, and told what would fit"
spec large 3 2000
id=$(submit large)
wait_state "$id" refused
reason=$(field "$id" reason)
words='^acme/lab \(all data\) has epsilon 2.00 left of 2.00 at delta 1e-06; this job needs'
words="$words 3.00; the largest epsilon this job could ask for is [0-9.]+\$"
grep -qE "$words" <<<"$reason" || die "$reason"
largest=${reason##* }
holds "$largest > 1.8 && $largest < 2"
holds "$(spent acme) == 0 && $(reserved acme) == 0"
expect 12 "the largest epsilon this job could ask for is $largest" \
    as alice ppt-submit --dry-run "$dir/large.yaml"

step "a thousandth more does not fit, the figure itself does"
spec above "$(awk "BEGIN { print $largest + 0.001 }")" 2000
expect 22 "refused" as alice ppt-submit --wait "$dir/above.yaml"
spec exact "$largest" 2000
as alice ppt-submit --dry-run "$dir/exact.yaml" >"$dir/out" || die "$(cat "$dir/out")"

step "asked for in steps when the noise is given"
sed 's/epsilon: 3, /noise_multiplier: 2, /' "$dir/large.yaml" >"$dir/noise.yaml"
id=$(submit noise)
wait_state "$id" refused
reason=$(field "$id" reason)
steps=${reason##* }
grep -q "the most steps this job could ask for are $steps" <<<"$reason" || die "$reason"
sed "s/steps: 2000/steps: $((steps + 1))/" "$dir/noise.yaml" >"$dir/noise-above.yaml"
expect 12 "most steps this job could ask for are $steps" \
    as alice ppt-submit --dry-run "$dir/noise-above.yaml"
sed "s/steps: 2000/steps: $steps/" "$dir/noise.yaml" >"$dir/noise-exact.yaml"
as alice ppt-submit --dry-run "$dir/noise-exact.yaml" >"$dir/out"

step "one job holds the budget, the next waits for it"
heavy holder 1.5 60000
spec waiter 1.4 300
holder=$(submit holder)
wait_metered "$holder"
waiter=$(submit waiter)
wait_state "$waiter" waiting
field "$waiter" reason | grep -q 'waits for them to end' || die "$(field "$waiter" reason)"
holds "$(reserved acme/lab) > 1.4"

step "the first is cancelled after a few steps: what it did not use comes back"
as alice ppt-queue cancel "$holder" --reason "too slow" 2>/dev/null
wait_state "$holder" cancelled
holds "$(field "$holder" epsilon_spent) > 0"
holds "$(field "$holder" epsilon_spent) < $(field "$holder" epsilon)"
wait_state "$waiter" "done"
holds "$(field "$waiter" admitted_at_s) - $(field "$holder" ended_at_s) <= 2" "at once"
check_ledger

step "asking for nothing more than is left, until nothing is left"
id=$(submit large)
wait_state "$id" refused
largest=$(field "$id" reason | sed -nE 's/.* could ask for is ([0-9.]+)$/\1/p')
[ -n "$largest" ] || die "$(field "$id" reason)"
spec rest "$largest" 200
id=$(submit rest)
wait_state "$id" "done"
id=$(submit large)
wait_state "$id" refused
field "$id" reason | grep -qE 'could ask for is 0.[0-9]+$|not even epsilon 0.1' ||
    die "$(field "$id" reason)"

step "an officer raises the limit"
as officer ppt-budget grant acme/lab --epsilon 3.5 --delta 1e-6 --reason "agreed"
spec more 1 200
id=$(submit more)
wait_state "$id" "done"
as officer ppt-budget history acme/lab | grep -q 'grant .* agreed' || die "history"
check_ledger

step "a limit in currency gaussian takes full batches only, and by mu^2"
as officer ppt-budget account create pilot
as officer ppt-budget member add pilot alice
as officer ppt-budget grant pilot --epsilon 2 --delta 1e-6 --currency gaussian
batch=1000 spec full 0.5 20
sed -i 's/account: .*/account: pilot/' "$dir/full.yaml"
sed 's/batch_size: 1000/batch_size: 50/' "$dir/full.yaml" >"$dir/sampled.yaml"
id=$(submit sampled)
wait_state "$id" refused
reason=$(sql "SELECT reason FROM ppt.job WHERE id = $id")
grep -q 'pilot.* has no mu^2.*set batch_size to the split' <<<"$reason" || die "$reason"
id=$(submit full)
wait_state "$id" "done"
holds "$(spent pilot) > 0.3 && $(spent pilot) < 0.5" "exact, below the curve's 0.5"
holds "$(reserved pilot) == 0"
as reader ppt-budget show | grep -q '^pilot (gaussian)' || die "show"
sed 's/epsilon: 0.5/epsilon: 3/' "$dir/full.yaml" >"$dir/full-large.yaml"
expect 12 "the largest epsilon this job could ask for is" \
    as alice ppt-submit --dry-run "$dir/full-large.yaml"
check_ledger
step "ok"
