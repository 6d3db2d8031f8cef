#!/usr/bin/env bash
# bench_dispatch.sh [--json] [N]: how fast the smallest private jobs go through the whole
# system, in the pool and by mpirun on the same machine: two ranks on two cores, one step.
#   start    from a job being said to run to its first charge, one job at a time: median
#   rate     N jobs (default 2000; a hundredth by mpirun) handed in by one ppt-submit:
#            from its start to the last one settled; nobody asks the database meanwhile
# Then N / 10 short jobs by the launcher sbatch beside the same batch scripts by bare
# sbatch, on a cluster of four nodes in namespaces (tests/slurm/crowd.sh); where there is
# no Slurm it says so. PostgreSQL with fsync on, as people run it.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../../e2e/lib.sh"
is_json=false n_jobs=2000
for argument in "$@"; do
    case $argument in
    --json) is_json=true ;;
    *) n_jobs=$argument ;;
    esac
done

say() { # CASE VALUE UNIT PEER PEER_VALUE RATIO
    if $is_json; then
        printf '{"bench": "dispatch", "case": "%s", "value": %s, "unit": "%s", ' "$1" "$2" "$3"
        printf '"peer": "%s", "peer_value": %s, "ratio": %s}\n' "$4" "$5" "$6"
    else
        printf '%-36s %10s %-4s  %-11s %8s  ratio %6s\n' "$1" "$2" "$3" "$4" "$5" "$6"
    fi
}

# Both rates in Slurm, from the last words but one of tests/slurm/crowd.sh.
in_slurm() {
    local out status=0 words
    out=$(bash "$source/tests/slurm/crowd.sh" "$1") || status=$?
    if [ "$status" = 77 ]; then
        echo "jobs by sbatch: $out" >&2
        return
    fi
    [ "$status" = 0 ] || die "$out"
    words=$(sed -nE 's/.*: ([0-9.]+) a second by ppt, ([0-9.]+) by bare sbatch, ratio ([0-9.]+)/\1 \2 \3/p' \
        <<<"$out")
    # shellcheck disable=SC2086 # three words
    set -- $words
    say "short jobs by sbatch, 1 rank" "$1" 1/s "bare sbatch" "$2" "$3"
}

# Milliseconds from "running" to the last change of the meter of a job of one step.
start_ms() {
    local from to
    from=$(sql "SELECT extract(epoch FROM max(at)) FROM ppt.job_event
                WHERE job_id = $1 AND to_state = 'running'")
    to=$(stat -c %.Y "$dir/jobs/$1/meter")
    awk "BEGIN { printf \"%.1f\\n\", ($to - $from) * 1000 }"
}

median() {
    sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

# Hands in N more by one ppt-submit, as alice, and waits for the last; jobs a second from
# before ppt-submit was started to when the last one was settled.
rate() {
    local n=$1 first started i files=()
    first=$(sql "SELECT count(*) + 1 FROM ppt.job")
    for ((i = 0; i < n; i++)); do files[i]=$dir/noop.yaml; done
    : >"$dir/schedd.log" # of which the scheduler only writes the end
    started=$EPOCHREALTIME
    as alice ppt-submit "${files[@]}" >/dev/null
    until [ "$(grep -cE ': job [0-9]+: (done|failed|cancelled)' "$dir/schedd.log")" -ge "$n" ]; do
        sleep 0.2
    done
    [ "$(sql "SELECT count(*) FROM ppt.job WHERE id >= $first AND state = 'done'")" = "$n" ] ||
        die "not all are done: $(sql "SELECT state, reason, count(*) FROM ppt.job GROUP BY 1, 2")"
    sql "SELECT round(($n / (extract(epoch FROM max(ended_at)) - $started))::numeric, 1)
         FROM ppt.job WHERE id >= $first"
}

# measure KIND N: sets start and rate
measure() {
    local kind=$1 n=$2 id i
    sed -i "s/^launcher: {kind: [a-z]*/launcher: {kind: $kind/" "$dir/site-scheduler.yaml"
    schedd_start
    sleep 2 # worlds come up
    for i in 1 2 3 4 5 6 7; do
        id=$(submit noop)
        wait_end "$id"
        [ "$(state "$id")" = "done" ] || die "$(field "$id" reason)"
        [ "$i" -le 2 ] || start_ms "$id"
    done >"$dir/starts.$kind"
    start=$(median <"$dir/starts.$kind")
    rate=$(rate "$n")
    schedd_stop
}

site cores=2 restarts=0 kind=pool pool='jobs: 100000'
as officer ppt-budget grant acme -e 5000 -d 1e-6
as officer ppt-budget grant --dataset private -e 5000 -d 1e-6
spec noop 0.5 1
measure pool "$n_jobs"
pool_start=$start pool_rate=$rate
measure mpirun $((n_jobs / 100 > 0 ? n_jobs / 100 : 1))
check_ledger
ratio() { awk "BEGIN { printf \"%.1f\", $1 / $2 }"; }
say "start of a warm job, 2 ranks" "$pool_start" ms mpirun "$start" "$(ratio "$start" "$pool_start")"
say "no-op jobs end to end, 2 ranks" "$pool_rate" 1/s mpirun "$rate" "$(ratio "$pool_rate" "$rate")"
in_slurm $((n_jobs / 10 > 0 ? n_jobs / 10 : 1))
