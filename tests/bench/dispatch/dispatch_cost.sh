#!/usr/bin/env bash
# dispatch_cost.sh [--calls | --functions] [N]: what one of the smallest private jobs costs
# from ppt-submit to the ledger, through the pool, two ranks on two cores: milliseconds of
# processor time (user and system) of each program that has a part in it. That is what can
# be compared on a machine that does other work too; the rate cannot.
#   --calls       how often a job makes the expensive system calls, program by program
#                 (strace makes all of it slower, so no times are shown)
#   --functions   where the server's time goes, function by function (timing them costs
#                 a third on top)
# N jobs (default 400) are handed in by one ppt-submit; then nobody asks anything until the
# scheduler's log says that the last one is done.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/../../e2e/lib.sh"
mode=times n_jobs=400
for argument in "$@"; do
    case $argument in
    --calls | --functions) mode=${argument#--} ;;
    *) n_jobs=$argument ;;
    esac
done

schedd() { echo "$schedd_pid"; }
server() { pgrep -P "$(head -n 1 "$dir/pg/data/postmaster.pid")"; }
ranks() { pgrep -f "^$build/worker/ppt-worker .*$dir/jobs/pool"; }

# Nanoseconds that the processes have run, all their threads.
run_ns() {
    local pid
    for pid in "$@"; do cat "/proc/$pid/task"/*/schedstat 2>/dev/null || true; done |
        awk '{ n += $1 } END { printf "%.0f\n", n }'
}

# The same of children of the server that have ended: the session of ppt-submit.
ended_ns() {
    awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.0f\n", ($14 + $15) * 1e9 / hz }' \
        "/proc/$(head -n 1 "$dir/pg/data/postmaster.pid")/stat"
}

# shellcheck disable=SC2046 # lists of processes
look() {
    at[schedd]=$(run_ns $(schedd))
    at[server]=$(($(run_ns $(server)) + $(ended_ns)))
    at[ranks]=$(run_ns $(ranks))
}

count_done() { grep -cE 'job [0-9]+: done' "$dir/schedd.log" || true; }

# hand_in N: by one ppt-submit; what it used, in seconds, in $dir/submit.time
hand_in() {
    local files i
    for ((i = 0; i < $1; i++)); do files[i]=$dir/noop.yaml; done
    (TIMEFORMAT='%U %S' && time as alice ppt-submit "${files[@]}" >"$dir/ids") \
        2>"$dir/submit.time"
}

run() {
    local want=$(($(count_done) + $1))
    hand_in "$1"
    until [ "$(count_done)" -ge "$want" ]; do
        kill -0 "$schedd_pid" 2>/dev/null || die "the scheduler has gone"
        sleep 0.2
    done
}

show_times() {
    local submit total=0
    submit=$(awk -v n="$n_jobs" '{ printf "%.2f", ($1 + $2) * 1000 / n }' "$dir/submit.time")
    printf '%-22s %8s\n' 'ms a job' 'user+sys' ppt-submit "$submit"
    for part in schedd server ranks; do
        awk -v ns=$((at[$part] - from[$part])) -v n="$n_jobs" -v name=$part \
            'BEGIN { printf "%-22s %8.2f\n", name, ns / 1e6 / n }'
        total=$((total + at[$part] - from[$part]))
    done
    awk -v ns=$total -v submit="$submit" -v n="$n_jobs" -v s="$1" 'BEGIN {
        ms = ns / 1e6 / n + submit
        printf "%-22s %8.2f   two cores: at most %.0f jobs a second\n", "all", ms, 2000 / ms
        printf "%-22s %8.1f   jobs a second, this time\n", "", n / s }'
}

# shellcheck disable=SC2046 # lists of processes
show_calls() {
    local part pid tracers=() list
    for part in schedd server ranks; do
        list=()
        for pid in $($part); do list+=(-p "$pid"); done
        strace -f -c -U name,calls -o "$dir/calls.$part" "${list[@]}" 2>/dev/null &
        tracers+=($!)
    done
    sleep 2
    run "$n_jobs"
    kill -INT "${tracers[@]}"
    wait "${tracers[@]}" || true
    printf '%-16s %9s %9s %9s\n' 'calls a job' schedd server ranks
    awk -v n="$n_jobs" 'FNR == 1 { part++ }
        $2 ~ /^[0-9]+$/ && $1 != "total" { calls[$1, part] = $2; all[$1] += $2 }
        END { for (name in all) if (all[name] >= n / 4)
            printf "%-16s %9.2f %9.2f %9.2f\n", name, calls[name, 1] / n,
                calls[name, 2] / n, calls[name, 3] / n }' \
        "$dir/calls.schedd" "$dir/calls.server" "$dir/calls.ranks" | sort -k1,1
}

show_functions() {
    sql "SELECT pg_stat_reset()" >/dev/null
    run "$n_jobs"
    sleep 2 # statistics are told late
    printf '%-26s %9s %9s\n' 'server, a job' calls 'ms self'
    sql "SELECT rpad(funcname, 26), lpad(round(calls / $n_jobs.0, 2)::text, 10),
         lpad(round(self_time::numeric / $n_jobs, 3)::text, 10)
         FROM pg_stat_user_functions WHERE self_time > 0.005 * $n_jobs
         ORDER BY self_time DESC" | tr -d '|'
}

declare -A from at
[ "$mode" != calls ] || command -v strace >/dev/null || die "there is no strace"
site cores=2 restarts=0 kind=pool pool='jobs: 100000'
[ "$mode" != functions ] || sql "ALTER SYSTEM SET track_functions = 'all'"
[ "$mode" != functions ] || sql "SELECT pg_reload_conf()" >/dev/null
as officer ppt-budget grant acme -e 50000 -d 1e-6
as officer ppt-budget grant --dataset private -e 50000 -d 1e-6
spec noop 0.5 1
schedd_start
sleep 2   # worlds come up
run 40    # and are warm
if [ "$mode" != times ]; then
    "show_$mode"
else
    look
    for part in "${!at[@]}"; do from[$part]=${at[$part]}; done
    started=$EPOCHREALTIME
    run "$n_jobs"
    took=$(awk "BEGIN { print $EPOCHREALTIME - $started }")
    look
    show_times "$took"
fi
[ "$(sql "SELECT count(*) FROM ppt.job WHERE state = 'done'")" = $((n_jobs + 40)) ] ||
    die "not all are done: $(sql "SELECT state, reason, count(*) FROM ppt.job GROUP BY 1, 2")"
schedd_stop
check_ledger
