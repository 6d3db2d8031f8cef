#!/usr/bin/env bash
# schedd is killed while a job runs: the job goes on, the next schedd finds it again,
# waits for it and settles it; so it does with a job that ended meanwhile.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 lease=3
heavy long 1 12000

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
sed -i 's/steps: 12000/steps: 2500/' "$dir/long.yaml"
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
holds "$(field "$id" steps_done) >= 1 && $(field "$id" steps_done) <= 2500"

step "asleep for longer than its lease: another takes over and settles the job"
mkdir -m 700 "$dir/other"
sed "s|^spool:.*|spool: $dir/other|" "$dir/site-scheduler.yaml" >"$dir/site-other.yaml"
id=$(submit long)
wait_metered "$id"
kill -STOP "$schedd_pid"
expect 18 "holds the lease" as other ppt-schedd
sleep 4
sleeper=$schedd_pid
schedd_start_as other
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
before=$(sql "SELECT count(*) FROM ppt.job_event")
kill -CONT "$sleeper"
status=0
wait "$sleeper" || status=$?
[ "$status" = 18 ] || die "the sleeper exits $status"
[ "$(sql "SELECT count(*) FROM ppt.job_event")" = "$before" ] || die "it wrote"

step "stopped cleanly: the lease is free at once, for another schedd elsewhere"
schedd_stop
schedd_start
id=$(submit long)
wait_state "$id" "done"

step "the spool has moved: a job does not go on without the meter of what it released"
id=$(submit long)
wait_metered "$id"
schedd_kill
# shellcheck disable=SC2046 # a list
kill -TERM $(rank_pids "$id")
sleep 4 # the lease
schedd_start_as other
wait_state "$id" failed
field "$id" reason | grep -q "earlier attempts lie in $dir/jobs/$id" ||
    die "$(field "$id" reason)"
holds "$(field "$id" epsilon_spent) > 0"
schedd_stop
check_ledger
step "ok"
