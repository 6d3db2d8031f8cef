#!/usr/bin/env bash
# The worker pool: jobs run one after the other in ranks that stay, each login in its own;
# ranks, mpirun and the scheduler are killed, jobs cancelled and out of time: no job takes
# another one with it, and each pays what it would have paid under mpirun.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=6 restarts=1 grace=3 kind=pool \
    pool='ranks: 8, spare: 1, spare_ranks: 2, max_memory: 2GiB, except: [acme/apart]'
as officer ppt-budget grant acme -e 50 -d 1e-6
as officer ppt-budget grant --dataset private -e 50 -d 1e-6
as officer ppt-budget member add acme/lab bob
as officer ppt-budget account create acme/apart
as officer ppt-budget member add acme/apart alice

# The ranks that wait, of all worlds.
idle_pids() {
    local pid
    for pid in $(job_pids 'pool/[0-9-]*'); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = ppt-worker ]; then echo "$pid"; fi
    done
}

# wait_idle N: until so many ranks wait
wait_idle() {
    for _ in $(seq 300); do
        [ "$(idle_pids | wc -l)" != "$1" ] || return 0
        sleep 0.1
    done
    die "$(idle_pids | wc -l) ranks wait, expected $1: $(idle_pids)"
}

# in_pool PID: is its mpirun the one of a world?
in_pool() {
    local parent
    parent=$(awk '{ print $4 }' "/proc/$1/stat")
    grep -qzE "^PPT_JOB_DIRECTORY=$dir/jobs/pool/" "/proc/$parent/environ"
}

# found PIDS: how often the first records of each rank's part stand in their memory. (What
# lies further inside is given back to the kernel with its pages, wiped or not.)
found() {
    local pid line sum=0 record
    for line in 2 3 4 502 503 504; do
        IFS=, read -ra record < <(sed -n "${line}p" "$dir/private.csv")
        for pid in $1; do
            sum=$((sum + $("$build/tests/mpi/memory_tool" "$pid" "${record[@]:0:8}")))
        done
    done
    echo "$sum"
}

schedd_start
wait_idle 2
before=$(idle_pids | sort)

step "a job walks through ranks that were there before, and leaves them"
spec first 1.5 300
id=$(submit first)
wait_state "$id" "done"
[ "$(field "$id" steps_done)" = 300 ] || die "steps: $(field "$id" steps_done)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
holds "$(reserved acme) == 0"
[ -s "$(field "$id" model)" ] || die "no model"
as alice ppt-queue log "$id" | grep -q 'step 300/300' || die "its log is not its own"
wait_idle 4 # and a new spare world
first=$(idle_pids | sort)
[ "$(comm -12 <(echo "$before") <(echo "$first"))" = "$before" ] || die "not the same ranks"
check_ledger

step "another login's jobs have other ranks"
heavy slow 1 300000
id=$(as bob ppt-submit "$dir/slow.yaml")
wait_metered "$id"
bobs=$(rank_pids "$id" | sort)
[ "$(comm -12 <(echo "$before") <(echo "$bobs"))" = "" ] || die "bob is in alice's world"
mine=$(submit slow)
wait_metered "$mine"
[ "$(rank_pids "$mine" | sort)" = "$before" ] || die "alice is not in her world"

[ "$(found "$before")" != 0 ] || die "the tool sees no record"

step "cancelled: settled by its meter, the world stays, bob's job does not notice"
as alice ppt-queue cancel "$mine" --reason enough 2>/dev/null
wait_state "$mine" cancelled
holds "$(field "$mine" epsilon_spent) > 0 && $(field "$mine" epsilon_spent) < 0.9"
wait_idle 4
[ "$(found "$before")" = 0 ] || die "a record outlives its job"
late=$dir/late.yaml
sed 's/time_limit: 10m/time_limit: 2s/' "$dir/slow.yaml" >"$late"

step "out of time: the same"
expect 22 "time limit" as alice ppt-submit --wait "$late"
id2=$(cat "$dir/out")
holds "$(field "$id2" epsilon_spent) > 0 && $(field "$id2" epsilon_spent) < 0.9"
[ "$(state "$id")" = running ] || die "bob's job: $(state "$id")"
[ "$(comm -12 <(echo "$before") <(idle_pids | sort))" = "$before" ] || die "world lost"

step "deaf ranks are killed after the grace time, and their world with them"
mine=$(submit slow)
wait_metered "$mine"
# shellcheck disable=SC2046 # a list
kill -STOP $(rank_pids "$mine")
as alice ppt-queue cancel "$mine" 2>/dev/null
wait_state "$mine" cancelled 30
[ -z "$(job_pids "$mine")" ] || die "processes are left"
holds "$(field "$mine" epsilon_spent) < 0.9"

step "a world that does not answer is passed over"
wait_idle 2 # hers has gone
# shellcheck disable=SC2046 # a list
kill -STOP $(idle_pids)
mine=$(submit first)
wait_state "$mine" "done"
[ "$(field "$mine" attempt)" = 1 ] || die "attempt $(field "$mine" attempt)"
holds "$(field "$mine" epsilon_spent) == $(field "$mine" epsilon)"

step "a rank is killed: its job pays everything and is tried again, bob's goes on"
mine=$(submit slow)
wait_metered "$mine"
kill -KILL "$(rank_pids "$mine" | tail -n 1)"
for _ in $(seq 300); do
    [ "$(field "$mine" attempt)" != 2 ] || [ "$(rank_pids "$mine" | wc -l)" != 2 ] || break
    sleep 0.1
done
[ "$(field "$mine" attempt)" = 2 ] || die "attempt $(field "$mine" attempt)"
# The world's mpirun has said which one, after the job's lock was free.
grep -q "job $mine: attempt 1: .*rank 1 on node .*: signal 9 (Killed)" "$dir/schedd.log" ||
    die "no cause: $(grep "job $mine: attempt 1" "$dir/schedd.log")"
as alice ppt-queue cancel "$mine" 2>/dev/null
wait_state "$mine" cancelled
holds "$(field "$mine" epsilon_spent) == $(field "$mine" epsilon)"
[ "$(state "$id")" = running ] || die "bob's job: $(state "$id")"

step "a world's mpirun is killed: its ranks do not outlive the job"
mine=$(submit slow)
wait_metered "$mine"
rank=$(rank_pids "$mine" | sed -n 1p)
in_pool "$rank" || die "not in the pool"
kill -KILL "$(awk '{ print $4 }' "/proc/$rank/stat")"
sleep 1
as alice ppt-queue cancel "$mine" 2>/dev/null
wait_end "$mine"
for _ in $(seq 100); do
    [ -e "/proc/$rank" ] || break
    sleep 0.1
done
[ ! -e "/proc/$rank" ] || die "a rank without mpirun stays"
[ "$(state "$id")" = running ] || die "bob's job: $(state "$id")"

step "the scheduler is killed: jobs go on, and the next one finds them and the worlds"
mine=$(submit first)
wait_end "$mine"
wait_idle 4
worlds=$(idle_pids | sort)
schedd_kill
mine=$(submit first)
[ "$(rank_pids "$id" | sort)" = "$bobs" ] || die "bob's job has lost its ranks"
schedd_start
wait_state "$mine" "done"
[ "$(comm -12 <(echo "$worlds") <(idle_pids | sort))" = "$worlds" ] || die "worlds lost"
as bob ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"

step "as many ranks as the job asks for, and worlds that are in the way make room"
spec three 1 100
sed -i 's/ranks: 2/ranks: 3/' "$dir/three.yaml"
id=$(submit three)
wait_state "$id" "done"
heavy wide 1 300000
sed -i 's/ranks: 2/ranks: 3/' "$dir/wide.yaml"
id=$(submit wide)
wait_metered "$id"
[ "$(rank_pids "$id" | wc -l)" = 3 ] || die "ranks: $(rank_pids "$id")"
in_pool "$(rank_pids "$id" | sed -n 1p)" || die "not in the pool"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled

# by_mpirun NAME: runs, and not in the pool
by_mpirun() {
    id=$(submit "$1")
    wait_metered "$id"
    ! in_pool "$(rank_pids "$id" | sed -n 1p)" || die "$1 is in the pool"
    as alice ppt-queue cancel "$id" 2>/dev/null
    wait_state "$id" cancelled
}

step "to mpirun: more memory than a pool's job may have, accounts kept apart"
sed 's/memory: 1GiB/memory: 3GiB/' "$dir/slow.yaml" >"$dir/big.yaml"
by_mpirun big
sed 's,account: acme/lab,account: acme/apart,' "$dir/slow.yaml" >"$dir/apart.yaml"
by_mpirun apart
holds "$(reserved acme) == 0"
check_ledger

step "without a scheduler the worlds leave"
schedd_stop
for _ in $(seq 50); do # by themselves after a minute; one may still be coming up
    [ -n "$(job_pids)" ] || break
    # shellcheck disable=SC2046 # a list
    kill -TERM $(idle_pids) 2>/dev/null || true
    sleep 0.2
done
[ -z "$(job_pids)" ] || die "worlds are left: $(job_pids)"
step "ok"
