#!/usr/bin/env bash
# PostgreSQL dies in mid-run: the job goes on, schedd and the waiting client come back to
# the database when it does, and the job is settled.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2
schedd_start
heavy long 1 4000
id=$(submit long)
as alice ppt-queue wait "$id" 2>"$dir/waiter.log" &
waiter=$!
wait_metered "$id"

step "killed"
"$pg" kill "$dir/pg"
sleep 1
[ -n "$(rank_pids "$id")" ] || die "the ranks died with the database"
kill -0 "$schedd_pid" || die "schedd died with the database"
expect 16 "" as alice ppt-queue
expect 16 "" as alice ppt-submit "$dir/long.yaml"
sleep 3
"$pg" restart "$dir/pg"

step "back: settled"
wait_state "$id" "done"
wait "$waiter" || die "the waiting client gave up: $(cat "$dir/waiter.log")"
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
[ "$(grep -c 'trying to reach the database' "$dir/schedd.log")" = 1 ] ||
    die "the outage is told more than once"
grep -q 'back at the database' "$dir/schedd.log"

step "away while the job ends: settled afterwards"
sed -i 's/steps: 4000/steps: 2500/' "$dir/long.yaml"
id=$(submit long)
wait_metered "$id"
"$pg" kill "$dir/pg"
for _ in $(seq 300); do
    [ -n "$(job_pids "$id")" ] || break
    sleep 0.1
done
"$pg" restart "$dir/pg"
wait_state "$id" "done"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "and new jobs run"
sed -i 's/steps: 2500/steps: 100/' "$dir/long.yaml"
id=$(submit long)
wait_state "$id" "done"
schedd_stop
check_ledger
step "ok"
