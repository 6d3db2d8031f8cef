#!/usr/bin/env bash
# crash_matrix.sh [KILLS] [SEED]: SIGKILL to schedd, to a rank, to mpirun or to the whole of
# PostgreSQL at random moments while jobs are submitted and run. Afterwards: no job is
# lost or doubled, the ledger agrees with itself, and no job has spent less than its
# meter says.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
n_kills=${1:-50}
seed=${2:-$(date +%N)}
RANDOM=$((10#$seed % 32768))
n_jobs=$((n_kills / 2 + 2))
tool=$build/tests/mpi/plan_tool
[ -x "$tool" ] || die "there is no $tool"
step "$n_kills kills, $n_jobs jobs, seed $seed"
site cores=4 restarts=100 lease=3
as officer ppt-budget grant acme -e 100 -d 1e-6
as officer ppt-budget grant --dataset private -e 100 -d 1e-6
heavy chaos 1 3000
schedd_start

# Submits on, whether the database is there or not; one id a line.
(
    for _ in $(seq $n_jobs); do
        until as alice ppt-submit "$dir/chaos.yaml" >>"$dir/ids" 2>>"$dir/submit.log"; do
            sleep 0.2
        done
        sleep $((RANDOM % 6))
    done
) &
submitter=$!

nap() {
    sleep "$((RANDOM % 2)).$((RANDOM % 10))"
}

# At random among all processes of this name that belong to jobs.
kill_one() {
    local pid victims=()
    for pid in $(job_pids); do
        [ "$(cat "/proc/$pid/comm" 2>/dev/null)" != "$1" ] || victims+=("$pid")
    done
    [ ${#victims[@]} -gt 0 ] || return 1
    kill -KILL "${victims[RANDOM % ${#victims[@]}]}" 2>/dev/null
}

n_schedd=0 n_rank=0 n_mpirun=0 n_database=0
while [ $((n_schedd + n_rank + n_mpirun + n_database)) -lt "$n_kills" ]; do
    nap
    case $((RANDOM % 8)) in
    0 | 1 | 2)
        schedd_kill
        n_schedd=$((n_schedd + 1))
        nap
        schedd_start
        ;;
    3 | 4) ! kill_one ppt-worker || n_rank=$((n_rank + 1)) ;;
    5) ! kill_one mpirun || n_mpirun=$((n_mpirun + 1)) ;;
    6 | 7)
        "$pg" kill "$dir/pg"
        n_database=$((n_database + 1))
        nap
        "$pg" restart "$dir/pg"
        ;;
    esac
    # A schedd that finds no database at its start gives up: as an init system would, bring
    # it back.
    if ! kill -0 "$schedd_pid" 2>/dev/null; then
        wait "$schedd_pid" 2>/dev/null || true
        schedd_start
    fi
done
step "killed: schedd $n_schedd, ranks $n_rank, mpirun $n_mpirun, PostgreSQL $n_database"
wait "$submitter"
kill -0 "$schedd_pid" 2>/dev/null || schedd_start

step "every job comes to an end"
mapfile -t ids <"$dir/ids"
for id in "${ids[@]}"; do wait_end "$id" 300; done
[ -z "$(job_pids)" ] || die "processes are left"

step "none is lost, none doubled"
[ "$(wc -l <"$dir/ids")" = "$n_jobs" ] || die "$(wc -l <"$dir/ids") ids"
[ "$(sort -u "$dir/ids" | wc -l)" = "$n_jobs" ] || die "an id twice"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = "$n_jobs" ] || die "jobs nobody knows of"
[ "$(sql "SELECT count(*) FROM ppt.job WHERE state NOT IN ('done', 'failed')")" = 0 ] ||
    die "ended otherwise than by running: $(sql 'SELECT id, state, reason FROM ppt.job')"
holds "$(sql "SELECT count(*) FROM ppt.job WHERE state = 'done'") > 0"

step "the ledger agrees with itself; each job paid once"
check_ledger
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" = "$n_jobs" ]
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'reserve'")" = "$n_jobs" ]
holds "$(reserved acme) == 0"

step "spent is never less than the meter says"
for id in "${ids[@]}"; do
    used=$("$tool" used "$dir/jobs/$id" "$dir/keys/plan.pub")
    spent=$(field "$id" epsilon_spent)
    [ "$used" -gt 0 ] || continue
    metered=$(ppt-budget price -s "$(field "$id" noise_multiplier)" \
        -q "$(field "$id" sample_rate)" -t "$used" -d 1e-6 --json |
        sed -E 's/.*"epsilon": ([0-9.e-]+).*/\1/')
    holds "$spent >= $metered" "job $id: spent $spent, metered $metered"
    [ "$used" -le 3000 ] || die "job $id used $used of 3000 steps"
    if [ "$(sql "SELECT attempt > 1 FROM ppt.job WHERE id = $id")" = t ]; then
        holds "$spent == $(field "$id" epsilon)" "job $id died once: everything is spent"
    fi
done
sql "SELECT state, count(*), max(attempt) AS most_attempts FROM ppt.job GROUP BY state"
step "ok"
