#!/usr/bin/env bash
# Short jobs that follow each other through one world, the next ones prepared while the
# last ones run. One is cancelled when it is prepared already, and the scheduler is killed
# with others prepared: every job ends once, and pays once or, cancelled, nothing.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
n=24
site cores=2 restarts=0 kind=pool pool='spare: 1, spare_ranks: 2'
as officer ppt-budget grant acme -e 200 -d 1e-6
as officer ppt-budget grant --dataset private -e 200 -d 1e-6
heavy tiny 0.2 100 # a fifth of a second: time to prepare others

# Those with a plan that have not been started.
prepared() {
    local id
    for id in $(sql "SELECT id FROM ppt.job WHERE state = 'admitted' ORDER BY id"); do
        if [ -e "$dir/jobs/$id/plan.json" ]; then echo "$id"; fi
    done
}

n_in() {
    sql "SELECT count(*) FROM ppt.job WHERE state = '$1'"
}

# Stops the scheduler where it has prepared jobs; the last of them: $ready.
catch() {
    for _ in $(seq 200); do
        kill -STOP "$schedd_pid"
        ready=$(prepared | tail -n 1)
        [ -z "$ready" ] || return 0
        kill -CONT "$schedd_pid"
        sleep 0.1
    done
    die "no job was ever prepared: $(n_in "done") of $n are done"
}

for _ in $(seq "$n"); do submit tiny >/dev/null; done
schedd_start

step "cancelled when it is prepared: it never runs"
catch
cancelled=$ready
as alice ppt-queue cancel "$cancelled" 2>/dev/null
kill -CONT "$schedd_pid"

step "the scheduler dies with others prepared"
catch
schedd_kill
for file in plan.sig meter; do
    [ ! -e "$dir/jobs/$ready/$file" ] || die "job $ready could be run before it was started"
done
schedd_start
for _ in $(seq 600); do
    [ "$(sql "SELECT count(*) FROM ppt.job WHERE ended_at IS NULL")" != 0 ] || break
    sleep 0.1
done
[ "$(n_in "done")" = $((n - 1)) ] || die "only $(n_in "done") of $n are done"
[ "$(state "$cancelled")" = cancelled ] || die "job $cancelled: $(state "$cancelled")"
for file in plan.sig meter; do
    [ ! -e "$dir/jobs/$cancelled/$file" ] || die "the cancelled job could be run"
done
holds "$(field "$cancelled" epsilon_spent) == 0"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" = "$n" ] ||
    die "not one settlement a job"
[ "$(sql "SELECT count(*) FROM ppt.job WHERE state = 'done'
          AND epsilon_spent IS DISTINCT FROM epsilon")" = 0 ] || die "not all pay their price"
for id in $(seq "$n"); do
    [ "$id" = "$cancelled" ] ||
        grep -q "\"job_id\": $id," "$dir/jobs/$id/report.json" || die "no report of job $id"
done
holds "$(reserved acme) == 0"
check_ledger
step "ok"
