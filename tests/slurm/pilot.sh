#!/usr/bin/env bash
# Jobs in a pilot, an allocation that stays: one after the other in ranks that stay too,
# and side by side; one dies, one is cancelled, and the others do not notice; then the pilot itself is
# cancelled in mid-job, and the ledger is right.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5
sed 's/^take_s=120 /take_s=4 /' "$source/slurm/ppt-pilot.sbatch.in" >"$dir/pilot.in"
use_pilots "nodes: 1, cores: 2, memory: 2GiB, time: 30m, most: 1, idle: 4s, template: $dir/pilot.in"
cluster_start
schedd_start

no_folder() {
    [ -z "$(find "$dir/jobs/pilots" -mindepth 1 -type d)" ]
}

step "three jobs in one allocation"
spec quick 0.2 50
for _ in 1 2 3; do
    id=$(submit quick)
    wait_state "$id" "done"
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
    [ "$(field "$id" steps_done)" = 50 ] || die "steps: $(field "$id" steps_done)"
    as alice ppt-queue log "$id" | grep -q 'step 50/50' || die "its log is not its own"
done
[ "$(n_pilots all)" = 1 ] || die "$(n_pilots all) pilots"
[ "$(slurm squeue --steps -h -o %j | grep -v '^\(batch\|extern\)$')" = ppt-world-1 ] ||
    die "not one world: $(slurm squeue --steps -h -o %j)"
[ "$(cat "$cluster"/n?/slurmd.log | grep -c 'launch task')" = 1 ] ||
    die "a job was launched by itself"
[ "$(slurm squeue -h -t all -o %j | grep -vc '^ppt-pilot-')" = 0 ] || die "jobs beside it"
[ "$(field "$id" slurm_job_id)" = "$(slurm squeue -h -o %A)" ] || die "not in the pilot"
holds "$(reserved acme) == 0"

step "a world that hangs: its step is ended, and the job gets ranks of its own"
# shellcheck disable=SC2046 # a list
kill -STOP $(pgrep -f '^[^ ]*ppt-worker --pool .*/worlds/1 ')
id=$(submit quick)
wait_state "$id" "done" 60
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
[ -z "$(pgrep -f '^[^ ]*ppt-worker --pool .*/worlds/1 ')" ] || die "the world is still there"
[ "$(n_pilots all)" = 1 ] || die "$(n_pilots all) pilots"

step "two side by side: one loses a rank and pays everything, the other goes on"
heavy slow 0.4 300000
sed -i 's/ranks: 2/ranks: 1/' "$dir/slow.yaml"
stays=$(submit slow)
wait_metered "$stays"
id=$(submit slow)
wait_metered "$id"
before=$(spent acme)
kill -KILL "$(rank_pids "$id")"
wait_for 30 "it is tried again" runs_again "$id"
[ "$(state "$stays")" = running ] || die "the other: $(state "$stays")"
[ "$(field "$stays" attempt)" = 1 ] || die "the other: attempt $(field "$stays" attempt)"

step "cancelled: by the meter, or everything where it has died before"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled 30
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(spent acme) > $before"
[ -z "$(rank_pids "$id")" ] || die "its ranks stay"
[ "$(state "$stays")" = running ] || die "the other: $(state "$stays")"

step "scancel of the pilot in mid-job: interrupted, and goes on elsewhere"
pilot=$(slurm squeue -h -o %A)
slurm scancel "$pilot"
wait_for 60 "another attempt" runs_again "$stays"
[ "$(field "$stays" slurm_job_id)" != "$pilot" ] || die "still in the old one"
for ticket in taken-1 taken-2; do
    [ -e "$dir/jobs/$stays/$ticket" ] || die "no $ticket"
done
grep -q "job $stays: attempt 1: interrupted" "$dir/schedd.log" || die "not interrupted"
as alice ppt-queue cancel "$stays" 2>/dev/null
wait_state "$stays" cancelled 30
holds "$(field "$stays" epsilon_spent) > 0 && $(field "$stays" epsilon_spent) < 0.39"
holds "$(reserved acme) == 0"
check_ledger

step "without jobs a pilot ends"
id=$(submit quick)
wait_state "$id" "done"
[ "$(n_pilots running)" = 1 ] || die "no new pilot"
wait_for 30 "the pilot is gone" no_pilot
wait_for 10 "its folder too" no_folder
schedd_stop
[ -z "${PPT_SHOW_LOG:-}" ] || cat "$dir/schedd.log"
step "ok"
