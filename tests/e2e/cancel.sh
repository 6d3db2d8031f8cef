#!/usr/bin/env bash
# Cancelling in every state, and the time limit: paid for by the meter, never more.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 grace=3

step "before the scheduler has seen it"
heavy slow 1 300000
id=$(submit slow)
as alice ppt-queue cancel "$id" 2>/dev/null
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"
expect 18 "" as alice ppt-queue cancel "$id"
schedd_start

step "admitted: everything comes back at once"
runs=$(submit slow)
wait_metered "$runs"
id=$(submit slow)
wait_state "$id" admitted
holds "$(reserved acme) > 1"
as alice ppt-queue cancel "$id" 2>/dev/null
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"
expect 5 "no job" as bob ppt-queue cancel "$runs" # not even to be seen

step "running: asked to stop, settled by its meter"
as alice ppt-queue cancel "$runs" --reason "enough" 2>/dev/null
wait_state "$runs" cancelled
field "$runs" reason | grep -q cancelled || die "$(field "$runs" reason)"
[ -z "$(job_pids "$runs")" ] || die "processes are left"
holds "$(field "$runs" epsilon_spent) > 0 && $(field "$runs" epsilon_spent) < 0.9"
holds "$(reserved acme) == 0"

step "a worker that does not listen is killed after the grace time"
id=$(submit slow)
wait_metered "$id"
# shellcheck disable=SC2046 # a list
kill -STOP $(rank_pids "$id")
as alice ppt-queue cancel "$id" 2>/dev/null
sleep 1
[ "$(state "$id")" = running ] || die "too early: $(state "$id")"
wait_state "$id" cancelled 30
[ -z "$(job_pids "$id")" ] || die "processes are left"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"

step "past its time limit"
heavy late 1 300000
sed -i 's/time_limit: 10m/time_limit: 3s/' "$dir/late.yaml"
expect 22 "time limit" as alice ppt-submit --wait "$dir/late.yaml"
id=$(cat "$dir/out")
[ "$(state "$id")" = failed ] || die "$(state "$id")"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"
check_ledger
step "ok"
