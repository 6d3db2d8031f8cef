#!/usr/bin/env bash
# schedd is killed while a job runs: the job goes on, the next schedd finds it again,
# waits for it and settles it; so it does with a job that ended meanwhile.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2
spec long 1 20000

step "killed while the job runs, back before it ends"
schedd_start
id=$(submit long)
wait_metered "$id"
ranks=$(rank_pids "$id")
schedd_kill
sleep 1
schedd_start
sleep 1
[ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
[ "$(rank_pids "$id")" = "$ranks" ] || die "other ranks than before"
expect 18 "another ppt-schedd uses" as scheduler ppt-schedd
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "killed while the job runs, back after it has ended"
sed -i 's/steps: 20000/steps: 8000/' "$dir/long.yaml"
id=$(submit long)
wait_metered "$id"
schedd_kill
for _ in $(seq 300); do
    [ -n "$(job_pids "$id")" ] || break
    sleep 0.1
done
[ "$(state "$id")" = running ] || die "who moved it?"
schedd_start
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"

step "interrupted by someone: goes on from its checkpoint, in a second attempt"
id=$(submit long)
wait_metered "$id"
# shellcheck disable=SC2046 # a list
kill -TERM $(rank_pids "$id")
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) <= $(field "$id" epsilon)"
holds "$(field "$id" steps_done) >= 1 && $(field "$id" steps_done) <= 8000"

step "stopped cleanly: the lease is free at once, for another schedd elsewhere"
schedd_stop
mkdir -m 700 "$dir/other"
sed "s|^spool:.*|spool: $dir/other|" "$dir/site-scheduler.yaml" >"$dir/site-other.yaml"
schedd_start_as other
for _ in $(seq 50); do
    grep -q 'epoch 4' "$dir/schedd.log" && break
    sleep 0.1
done
step "a second one may not come beside it"
expect 18 "holds the lease" as scheduler timeout 20 ppt-schedd
schedd_stop
check_ledger
step "ok"
