#!/usr/bin/env bash
# A power cut while the pool runs short jobs, whose beginning is not waited for by the
# disk. No power is cut: everything is killed at once, and the files are set back to what
# a disk may have kept, with another boot of the machine in them. A job never becomes
# cheaper by it, and one that had ended is done.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 restarts=1 grace=3 kind=pool pool='ranks: 2, spare: 1, spare_ranks: 2, ahead_ms: 10000'
as officer ppt-budget grant acme -e 200 -d 1e-6
as officer ppt-budget grant --dataset private -e 200 -d 1e-6
heavy slow 1 300000
heavy brief 1 3000
spec quick 0.5 1

other_boot='s/"boot": "[^"]*"/"boot": "00000000-0000-4000-8000-000000000000"/'

# The scheduler, its worlds and their mpirun.
kill_all() {
    schedd_kill
    pkill -KILL -f "ppt-worker .*$dir/jobs/pool" || true
    for _ in $(seq 50); do
        [ -n "$(job_pids)" ] || return 0
        sleep 0.1
    done
    die "processes are left: $(job_pids)"
}

# begun: a slow job, its id in $id, that runs since less than two seconds
begun() {
    id=$(submit slow)
    for _ in $(seq 1500); do
        ! has_charge "$dir/jobs/$id/meter" || break
        sleep 0.02
    done
    kill_all
    tail -n 1 "$dir/jobs/$id/scheduler.json" | grep -q '"started_attempt": 1.*"boot"' ||
        die "not caught in time: $(cat "$dir/jobs/$id/scheduler.json")"
    sed -i "$other_boot; 1q" "$dir/jobs/$id/scheduler.json"
    grep -q '"started_attempt": 0' "$dir/jobs/$id/scheduler.json"
}

# pays_for_a_death: job $id, when the scheduler comes back
pays_for_a_death() {
    schedd_start
    wait_metered "$id"
    for _ in $(seq 100); do
        [ "$(field "$id" attempt)" != 2 ] || break
        sleep 0.1
    done
    [ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
    grep -q '"n_losses": 1' "$dir/jobs/$id/scheduler.json" || die "no loss is written down"
    as alice ppt-queue cancel "$id" 2>/dev/null
    wait_state "$id" cancelled 60
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)" "job $id"
    check_ledger
}

step "its start is lost: it counts as a death, runs again and pays everything"
schedd_start
sleep 2 # a world comes up
begun
pays_for_a_death

step "that it has begun is lost too: the same"
begun
: >"$dir/jobs/$id/meter"
pays_for_a_death

step "its meter is lost too: no new one is made, and it pays everything"
begun
rm "$dir/jobs/$id/meter"
schedd_start
wait_state "$id" failed 60
[ ! -e "$dir/jobs/$id/meter" ] || die "a second meter"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)" "job $id"
check_ledger

step "a job that runs for longer is written down for good"
id=$(submit slow)
wait_metered "$id"
sleep 4
tail -n 1 "$dir/jobs/$id/scheduler.json" | grep -q '"started_attempt": 1' || die "no state"
! tail -n 1 "$dir/jobs/$id/scheduler.json" | grep '"boot"' || die "it is still in doubt"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled 60
holds "$(field "$id" epsilon_spent) < $(field "$id" epsilon)" "job $id"

step "one that is long in beginning is not written down for good before it has begun"
id=$(submit quick)
wait_end "$id"
id=$(submit brief)
wait_metered "$id"
next=$(submit quick) # waits ahead; its ranks will wait for a reader of its log
wait_state "$next" running
mkfifo "$dir/jobs/$next/log"
wait_state "$id" "done" 60
sleep 5
[ ! -s "$dir/jobs/$next/meter" ] || die "it has begun"
tail -n 1 "$dir/jobs/$next/scheduler.json" | grep -q '"started_attempt": 1.*"boot"' ||
    die "it is in no doubt: $(cat "$dir/jobs/$next/scheduler.json")"
cat "$dir/jobs/$next/log" >"$dir/read.log" &
wait_state "$next" "done" 60

step "it had ended and nobody knew: it is done, by its meter"
id=$(submit brief)
wait_metered "$id"
schedd_kill
for _ in $(seq 600); do
    [ ! -e "$dir/jobs/$id/report.json" ] || break
    sleep 0.1
done
sleep 1
sed -i "$other_boot; 1q" "$dir/jobs/$id/scheduler.json"
schedd_start
wait_state "$id" "done" 60
[ "$(field "$id" steps_done)" = 3000 ] || die "$(field "$id" steps_done) steps"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)" "job $id"
holds "$(reserved acme) == 0"
check_ledger
schedd_stop
step "ok"
