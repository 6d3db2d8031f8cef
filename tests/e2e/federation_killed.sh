#!/usr/bin/env bash
# A federation whose ranks, whose scheduler, or both are killed in the middle of a round:
# it goes on from its checkpoint, its meter is continued and never starts again, and the
# ledger is exact.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 restarts=2 lease=3
schedd_start
ppt-data import csv --train "$dir/private.csv" --test "$dir/private.csv" --header no \
    --nominal-count 1000 --nominal-test-count 1000 --unit user --name users \
    -o "$dir/users.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/users.manifest.yaml" -e 8 -d 1e-6
as officer ppt-budget account create people
as officer ppt-budget grant people --epsilon 6 --delta 1e-6 --unit user
as officer ppt-budget member add people alice

rounds=60
# federation NAME [FEDERATION]: with a checkpoint every five rounds
federation() {
    cat >"$dir/$1.yaml" <<END
name: $1
account: people
kind: fl
dataset: {name: users}
model: {preset: mlp, hidden: ${hidden:-512}}
privacy: {unit: user, epsilon: 1, delta: 1e-6, clip_norm: 1}
training: {epochs: 480, batch_size: 10, learning_rate: 0.1, checkpoint_every: 5}
resources: {ranks: 2, time_limit: 10m, memory: 1GiB}
federation: {rounds: $rounds, partition: users, cohort: 100${2:+, $2}}
END
}

# journal_of ID ATTEMPT: the numbers of its rounds, many of which tell no epsilon; those of
# the last second are lost if it was killed
journal_of() {
    sed -nE "s/^\{\"attempt\": $2, \"round\": ([0-9]+)(, \"epsilon\": [^,}]*)?\}$/\1/p" \
        "$dir/jobs/$1/rounds.jsonl" 2>/dev/null || true
}

# wait_round ID N: until the journal of its first attempt has that round
wait_round() {
    local last
    for _ in $(seq 600); do
        last=$(journal_of "$1" 1 | tail -n 1)
        if [ "${last:-0}" -ge "$2" ]; then break; fi
        sleep 0.05
    done
    [ "$(state "$1")" = running ] || die "too late to kill job $1: $(state "$1")"
}

# wait_attempt ID N
wait_attempt() {
    for _ in $(seq 300); do
        [ "$(field "$1" attempt)" != "$2" ] || return 0
        sleep 0.1
    done
    die "no attempt $2 of job $1: $(state "$1") $(field "$1" reason)"
}

# has_gone_on ID BEFORE: from a checkpoint, with the meter that had BEFORE bytes
has_gone_on() {
    local id=$1 first used n_done
    wait_state "$id" "done"
    [ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
    first=$(journal_of "$id" 2 | head -n 1)
    if [ "$first" -le 1 ] || [ $((first % 5)) != 1 ]; then die "attempt 2 begins with round $first"; fi
    [ "$(journal_of "$id" 2 | tail -n 1)" = $((first + $(journal_of "$id" 2 | wc -l) - 1)) ] ||
        die "rounds are missing after $first"
    [ "$(stat -c %s "$dir/jobs/$id/meter")" -gt "$2" ] || die "its meter began again"
    used=$(sed -nE 's/.*"used": \[([0-9]+).*/\1/p' "$dir/jobs/$id/report.json")
    n_done=$(field "$id" steps_done)
    if [ "$used" -gt $rounds ] || [ "$n_done" -gt "$used" ]; then
        die "$used releases are paid for, the model has $n_done, the plan $rounds"
    fi
    is_exact "$id"
}

# is_exact ID: charged once, and all of it
is_exact() {
    holds "$(field "$1" epsilon_spent) == $(field "$1" epsilon)"
    [ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE job_id = $1 AND kind = 'spend'")" = 1 ] ||
        die "not one payment"
    holds "$(reserved people) == 0"
    check_ledger
}

step "a rank is killed in the middle of a round"
federation ranks
id=$(submit ranks)
wait_round "$id" 12
size=$(stat -c %s "$dir/jobs/$id/meter")
kill -KILL "$(rank_pids "$id" | tail -n 1)"
wait_attempt "$id" 2
has_gone_on "$id" "$size"

step "the scheduler is killed: the same ranks go on, and every round is there once"
federation schedd
id=$(submit schedd)
wait_round "$id" 7
ranks=$(rank_pids "$id")
schedd_kill
sleep 0.5
schedd_start
[ "$(rank_pids "$id")" = "$ranks" ] || die "other ranks than before"
wait_state "$id" "done"
[ "$(field "$id" attempt) $(field "$id" steps_done)" = "1 $rounds" ] ||
    die "attempt $(field "$id" attempt), $(field "$id" steps_done) rounds"
[ "$(journal_of "$id" 1 | tr '\n' ' ')" = "$(seq -s ' ' $rounds) " ] || die "other rounds"
is_exact "$id"

step "both at once, as when the machine dies"
id=$(submit ranks)
wait_round "$id" 12
size=$(stat -c %s "$dir/jobs/$id/meter")
schedd_kill
# shellcheck disable=SC2046 # a list
kill -KILL $(job_pids "$id")
sleep 4 # the lease
[ "$(state "$id")" = running ] || die "who moved it?"
schedd_start
wait_attempt "$id" 2
has_gone_on "$id" "$size"

step "the same in the middle of a secure aggregation"
rounds=12
hidden=32 federation secure "aggregation: secagg"
id=$(submit secure)
wait_round "$id" 6
size=$(stat -c %s "$dir/jobs/$id/meter")
kill -KILL "$(rank_pids "$id" | tail -n 1)"
wait_attempt "$id" 2
has_gone_on "$id" "$size"
schedd_stop
step "ok"
