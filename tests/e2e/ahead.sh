#!/usr/bin/env bash
# Orders ahead: a world of the pool has the next jobs before its job has ended. Those that
# it has not begun are cancelled for nothing, come back when it dies or its job lasts, and
# are found again after the scheduler was killed: each runs once and pays once.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 restarts=0 grace=3 kind=pool \
    pool='ranks: 2, spare: 1, spare_ranks: 2, ahead_ms: 10000'
as officer ppt-budget grant acme -e 200 -d 1e-6
as officer ppt-budget grant --dataset private -e 200 -d 1e-6
spec short 0.5 1
heavy slow 1 300000

# The jobs that a world has and has not begun: their meter knows of no attempt.
ahead() {
    local id
    for id in $(sql "SELECT id FROM ppt.job WHERE state = 'running' ORDER BY id"); do
        [ "$(stat -c %s "$dir/jobs/$id/meter" 2>/dev/null || echo 0)" != 0 ] || echo "$id"
    done
}

# behind N: a slow job that runs (its id is in $slow) and N short ones ordered behind it
# (their ids are in $short)
behind() {
    for _ in 1 2; do wait_state "$(submit short)" "done"; done # they take no time
    slow=$(submit slow)
    wait_metered "$slow"
    short=
    for _ in $(seq "$1"); do short="$short $(submit short)"; done
    for _ in $(seq 50); do
        [ "$(ahead | wc -l)" != "$1" ] || return 0
        sleep 0.1
    done
    die "$(ahead | wc -l) jobs are ordered ahead, expected $1: $(tail "$dir/schedd.log")"
}

# paid ID: it has run to its end, once, at its price
paid() {
    wait_state "$1" "done" 60
    holds "$(field "$1" epsilon_spent) == $(field "$1" epsilon)" "job $1"
    [ "$(field "$1" steps_done)" = 1 ] || die "job $1: $(field "$1" steps_done) steps"
}

schedd_start
step "many short jobs: each is begun once"
# shellcheck disable=SC2046 # a list
as alice ppt-submit $(yes "$dir/short.yaml" | head -n 40) >"$dir/ids"
while read -r id; do paid "$id"; done <"$dir/ids"
[ "$(sql "SELECT max(attempt) FROM ppt.job")" = 1 ] || die "one was started again"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" = 40 ]
holds "$(reserved acme) == 0"
as reader ppt-queue show 40 --json | grep -q '"host"' || die "no host"
! as reader ppt-queue show 40 --json | grep '"pid": 0' || die "no process has that number"
check_ledger

step "cancelled before its turn: it costs nothing, those beside it run later"
behind 3
read -r first second third <<<"$short"
as alice ppt-queue cancel "$second" 2>/dev/null
wait_state "$second" cancelled 20
holds "$(field "$second" epsilon_spent) == 0"
grep -q "cancelled before it was started" <<<"$(field "$second" reason)" ||
    die "$(field "$second" reason)"
[ "$(state "$slow")" = running ] || die "the slow job is $(state "$slow")"
as alice ppt-queue cancel "$slow" 2>/dev/null
wait_state "$slow" cancelled
holds "$(field "$slow" epsilon_spent) > 0 && $(field "$slow" epsilon_spent) < 0.9"
paid "$first"
paid "$third"
check_ledger

step "the job before them lasts: they are taken back and wait in the queue's order"
behind 2
sleep 11 # ahead_ms
[ "$(state "$slow")" = running ] || die "the slow job is $(state "$slow")"
[ -z "$(for id in $short; do rank_pids "$id"; done)" ] || die "two jobs in one room"
as alice ppt-queue cancel "$slow" 2>/dev/null
for id in $short; do paid "$id"; done
check_ledger

step "a rank is killed: its job pays everything, what it had before it is begun elsewhere"
behind 3
kill -KILL "$(rank_pids "$slow" | tail -n 1)"
wait_state "$slow" failed 60
holds "$(field "$slow" epsilon_spent) == $(field "$slow" epsilon)"
for id in $short; do paid "$id"; done
check_ledger

step "the scheduler is killed: the job goes on, the others are begun once it has ended"
behind 3
schedd_kill
schedd_start
sleep 2
[ -n "$(rank_pids "$slow")" ] || die "the slow job is gone"
as alice ppt-queue cancel "$slow" 2>/dev/null
wait_state "$slow" cancelled 60
[ "$(field "$slow" attempt)" = 1 ] || die "attempt $(field "$slow" attempt)"
for id in $short; do
    paid "$id"
    # three such ends in a row would fail it
    ! grep -q '"n_early": [1-9]' "$dir/jobs/$id/scheduler.json" || die "it did not die early"
done
check_ledger

step "PostgreSQL is killed between orders: nothing is lost or paid twice"
n=$(sql "SELECT count(*) FROM ppt.job")
# shellcheck disable=SC2046 # a list
as alice ppt-submit $(yes "$dir/short.yaml" | head -n 60) >"$dir/ids"
sleep 0.5
"$pg" kill "$dir/pg"
sleep 1
"$pg" restart "$dir/pg"
while read -r id; do
    wait_end "$id" 60
    [ "$(state "$id")" = "done" ] || die "job $id: $(state "$id"): $(field "$id" reason)"
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)" "job $id"
done <"$dir/ids"
[ "$(sql "SELECT count(*) FROM ppt.job")" = $((n + 60)) ] || die "jobs nobody knows of"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" = \
    "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'reserve'")" ]
holds "$(reserved acme) == 0"
check_ledger
schedd_stop
step "ok"
