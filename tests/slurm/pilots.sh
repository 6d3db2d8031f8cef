#!/usr/bin/env bash
# Pilots of two nodes, for two logins: ranks across nodes, a crowd, a scheduler that is
# killed, a pilot whose time is cut short, a node that is lost. The ledger is exact
# throughout.
export RIG_SLURMD_TIMEOUT_S=10
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=16 grace=5 restarts=0 pool='max_time_limit: 5m'
as officer ppt-budget grant acme -e 50 -d 1e-6
as officer ppt-budget grant --dataset private -e 50 -d 1e-6
as officer ppt-budget member add acme/lab bob
use_pilots 'nodes: 2, cores: 2, memory: 2GiB, time: 8m, most: 2, idle: 15s'
sed -i 's|^launcher.*|launcher: {kind: pool, within: sbatch}|' "$dir/site-bob.yaml"
cluster_start
schedd_start

# short NAME EPSILON STEPS RANKS, long_one NAME EPSILON RANKS
short() {
    spec "$1" "$2" "$3"
    sed -i "s/ranks: 2/ranks: $4/; s/time_limit: 10m/time_limit: 2m/" "$dir/$1.yaml"
}
long_one() {
    heavy "$1" "$2" 300000
    sed -i "s/ranks: 2/ranks: $3/; s/time_limit: 10m/time_limit: 5m/" "$dir/$1.yaml"
}

pilot_of() {
    cut -d' ' -f1 "$dir/jobs/$1/order-1"
}

login_of() {
    sed -nE 's/.*"login": "([^"]*)".*/\1/p' "$dir/jobs/pilots/$(pilot_of "$1")/pilot.json"
}

step "a job over both nodes of a pilot: sealed, as by sbatch"
short wide 0.5 100 4
id=$(submit wide)
wait_state "$id" "done"
grep -q '"is_sealed": true' "$dir/jobs/$id/report.json" || die "not sealed"
grep -q ' 0,0,1,1 ' "$dir/jobs/$id/order-1" || die "$(cat "$dir/jobs/$id/order-1")"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "a crowd of two logins: each in pilots of its own"
short tiny 0.1 2 1
ids=()
began=$(date +%s.%N)
for _ in $(seq 20); do
    ids+=("$(as alice ppt-submit "$dir/tiny.yaml")" "$(as bob ppt-submit "$dir/tiny.yaml")")
done
for id in "${ids[@]}"; do wait_state "$id" "done" 120; done
awk "BEGIN { printf \"40 jobs: %.2f a second\n\", 40 / ($(date +%s.%N) - $began) }"
logins=(alice bob)
for i in "${!ids[@]}"; do
    [ ! -e "$dir/jobs/${ids[i]}/taken-2" ] || die "twice: ${ids[i]}"
    [ "$(login_of "${ids[i]}")" = "${logins[i % 2]}" ] || die "${ids[i]} in another's pilot"
done
[ "$(n_pilots all)" -le 2 ] || die "$(n_pilots all) pilots"
[ "$(sql "SELECT count(*) FROM ppt.job WHERE epsilon_spent <> epsilon")" = 0 ] ||
    die "a job has not spent what it made"
holds "$(reserved acme) == 0"
check_ledger

step "the scheduler is killed: jobs go on, and the next one finds them"
long_one slow 0.5 1
id=$(submit slow)
wait_metered "$id"
schedd_kill
ranks=$(rank_pids "$id")
late=$(submit slow)
schedd_start
wait_metered "$late"
[ "$(field "$id" attempt) $(rank_pids "$id")" = "1 $ranks" ] || die "its ranks are others"
[ "$(pilot_of "$late")" = "$(pilot_of "$id")" ] || die "not in the pilot that was there"
as alice ppt-queue cancel "$late" 2>/dev/null
wait_state "$late" cancelled 30
holds "$(field "$late" epsilon_spent) > 0 && $(field "$late" epsilon_spent) < 0.45"

step "the pilot's time is cut short: interrupted, and on elsewhere"
first=$(field "$id" slurm_job_id)
slurm scontrol update jobid="$first" timelimit=1
wait_for 180 "another attempt" runs_again "$id"
grep -q "job $id: attempt 1: interrupted" "$dir/schedd.log" || die "not interrupted"
[ "$(slurm squeue -h -t all -j "$first" -o %T)" = TIMEOUT ] || die "no time-out"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled 30
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.45"
holds "$(reserved acme) == 0"

step "a node is lost: its job pays everything, once"
wait_for 60 "room for a pilot" no_pilot
long_one both 0.5 4
id=$(submit both)
wait_metered "$id"
pilot=$(field "$id" slurm_job_id)
node=$(slurm squeue -h -j "$pilot" -o %N | sed -E 's/n\[?[1-4][-,]n?([1-4])\]?/n\1/')
"$rig" link "$cluster" "$node" down
wait_state "$id" failed 150
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)" "$(field "$id" reason)"
holds "$(reserved acme) == 0"
check_ledger
[ ! -e "$dir/jobs/$id/taken-2" ] || die "a second attempt"
schedd_stop
step "ok"
