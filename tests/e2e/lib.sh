#!/usr/bin/env bash
# Shared by the tests of the whole system: a site in a temporary folder with a private
# PostgreSQL, two small data sets, accounts and the real programs. Nothing is imitated.
#
#   site [KEY=VALUE...]    makes it; keys: cores, restarts, grace, lease, kind (of launcher),
#                          pool (the knobs of that section)
#   as LOGIN COMMAND...    runs a program as officer, scheduler, alice or bob
#   schedd_start, schedd_stop, schedd_kill
#   spec NAME PRIVACY STEPS [LINE...]   writes $dir/NAME.yaml; PRIVACY: an epsilon or none
#   heavy NAME PRIVACY STEPS [LINE...]  the same, where a step takes more than 1 ms
#   submit NAME            as alice; the job's id
#   state ID, field ID KEY, wait_state ID STATE [SECONDS], wait_end ID [SECONDS]
#   spent ACCOUNT, reserved ACCOUNT: epsilon, as ppt-budget shows it
set -euo pipefail
source=${PPT_SOURCE_DIR:?set by ctest}
build=${PPT_BUILD_DIR:?set by ctest}
export PATH=$build/scheduler:$build/worker:$PATH
export NO_COLOR=1 LC_ALL=C.UTF-8
# The MPI library leaks by design.
export ASAN_OPTIONS=detect_leaks=0
pg=$source/tests/pg/pg.sh
schedd_pid=
dir=$(mktemp -d /tmp/ppt-e2e.XXXXXX)
chmod 755 "$dir"

for program in ppt-schedd ppt-submit ppt-queue ppt-budget ppt-data ppt-worker mpirun; do
    command -v $program >/dev/null || {
        echo "skipped: there is no $program"
        exit 77
    }
done

# The processes of one job, or of all jobs of this site, wherever they came from.
job_pids() {
    grep -lzE "^PPT_JOB_DIRECTORY=$dir/jobs/${1:-.*}\$" /proc/[0-9]*/environ 2>/dev/null |
        cut -d/ -f3 || true
}

# The ranks of one job.
rank_pids() {
    local pid
    for pid in $(job_pids "$1"); do
        if [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = ppt-worker ]; then echo "$pid"; fi
    done
}

clean_up() {
    local status=$? pids
    if [ -n "$schedd_pid" ]; then
        kill -KILL "$schedd_pid" 2>/dev/null || true
        wait "$schedd_pid" 2>/dev/null || true
    fi
    for _ in 1 2 3; do
        pids=$(job_pids)
        # shellcheck disable=SC2086 # a list
        [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
    done
    if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
        echo "--- schedd's last words"
        tail -n 40 "$dir/schedd.log" 2>/dev/null || true
        for log in "$dir"/jobs/*/log; do
            [ -f "$log" ] || continue
            echo "--- $log"
            tail -n 15 "$log"
        done | tail -n 120
    fi
    "$pg" remove "$dir/pg" >/dev/null 2>&1 || true
    rm -rf "$dir"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

die() {
    echo "FAILED: $*" >&2
    exit 1
}

step() {
    printf '%(%T)T  %s\n' -1 "$*"
}

as() {
    local login=$1
    shift
    PPT_CONFIG=$dir/site-$login.yaml "$@"
}

# Two clouds of points, 1000 records of 8 numbers and a label.
make_csv() {
    awk 'BEGIN { srand(11); for (i = 0; i < 1000; i++) {
        y = i % 2; for (j = 0; j < 8; j++) printf "%.4f,", rand() + (y ? 0.4 : -0.4)
        print y } }' >"$dir/$1.csv"
    ppt-data import csv --train "$dir/$1.csv" --test "$dir/$1.csv" --header no \
        --nominal-count 1000 --nominal-test-count 1000 --name "$1" -o "$dir/$1.h5" >/dev/null 2>&1
}

site() {
    local cores=4 restarts=1 grace=20 lease=10 kind=mpirun pool='jobs: 1000' login key
    for key in "$@"; do local "${key?}"; done
    "$pg" start "$dir/pg" $$
    mkdir -m 700 "$dir/jobs" "$dir/keys"
    for login in owner officer scheduler reader alice bob; do
        cat >"$dir/site-$login.yaml" <<END
database: "$("$pg" conninfo "$dir/pg" "${login/owner/$(id -un)}")"
spool: $dir/jobs
keys: {secret: $dir/keys/plan.key, public: $dir/keys/plan.pub}
node: {cores: $cores, memory: 64GiB}
launcher: {kind: $kind, worker: $build/worker/ppt-worker}
pool: {$pool}
scheduling: {max_restarts: $restarts, grace: ${grace}s, lease: ${lease}s}
END
    done
    as owner ppt-schedd --migrate --generate-keys 2>/dev/null
    "$pg" logins "$dir/pg"
    make_csv private
    make_csv public
    as officer ppt-budget account create acme
    as officer ppt-budget account create acme/lab
    as officer ppt-budget grant acme --epsilon 4 --delta 1e-6
    as officer ppt-budget dataset add "$dir/private.manifest.yaml" -e 8 -d 1e-6
    as officer ppt-budget dataset add "$dir/public.manifest.yaml" -e 8 -d 1e-6 --public
    as officer ppt-budget member add acme/lab alice
}

# schedd_start_as SITE: with the configuration of that name
schedd_start_as() {
    PPT_CONFIG=$dir/site-$1.yaml ppt-schedd 2>>"$dir/schedd.log" &
    schedd_pid=$!
}

schedd_start() {
    schedd_start_as scheduler
}

schedd_stop() {
    kill -TERM "$schedd_pid"
    wait "$schedd_pid" || die "schedd did not stop cleanly: $?"
    schedd_pid=
}

schedd_kill() {
    kill -KILL "$schedd_pid"
    wait "$schedd_pid" 2>/dev/null || true
    schedd_pid=
}

# spec NAME PRIVACY STEPS [LINE...]
spec() {
    local name=$1 privacy=$2 steps=$3 dataset=private
    shift 3
    if [ "$privacy" = none ]; then
        dataset=public
    else
        privacy="{epsilon: $privacy, delta: 1e-6, clip_norm: 1}"
    fi
    cat >"$dir/$name.yaml" <<END
name: $name
account: acme/lab
kind: dp
dataset: {name: $dataset}
model: ${model:-logistic}
privacy: $privacy
training: {steps: $steps, batch_size: ${batch:-50}, learning_rate: 0.1, checkpoint_every: 500}
resources: {ranks: 2, time_limit: 10m, memory: 1GiB}
END
    for line in "$@"; do printf '%s\n' "$line" >>"$dir/$name.yaml"; done
}

# Long enough to be caught in the middle, on a fast machine too.
heavy() {
    model="{preset: mlp, hidden: 1024}" batch=500 spec "$@"
}

submit() {
    as alice ppt-submit "$dir/$1.yaml"
}

# field ID KEY: out of ppt-queue show --json, "" where it is not there.
field() {
    as reader ppt-queue show "$1" --json |
        sed -nE "s/.*\"$2\": (\"([^\"]*)\"|([^,}]*)).*/\2\3/p"
}

state() {
    field "$1" state
}

wait_state() {
    local id=$1 wanted=$2 seconds=${3:-180} now=
    for _ in $(seq $((seconds * 5))); do
        now=$(state "$id" 2>/dev/null || true)
        [ "$now" != "$wanted" ] || return 0
        case $now in
        done | failed | refused | cancelled) break ;;
        esac
        sleep 0.2
    done
    die "job $id is '$now' and not $wanted: $(field "$id" reason)"
}

wait_end() {
    local status=0
    as reader timeout "${2:-180}" ppt-queue wait --quiet "$1" 2>/dev/null || status=$?
    [ "$status" = 0 ] || [ "$status" = 22 ] || die "waiting for job $1: status $status"
}

# Behind the record that says that an attempt has begun.
has_charge() {
    [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -gt 32 ]
}

# Runs, and has made a step: its meter is charged.
wait_metered() {
    wait_state "$1" running
    for _ in $(seq 300); do
        ! has_charge "$dir/jobs/$1/meter" || return 0
        sleep 0.1
    done
    die "job $1 makes no steps"
}

# budget ACCOUNT KEY: of the pot over all data.
budget() {
    as reader ppt-budget show "$1" --json | sed 's/}, {/}\n{/g' |
        grep "\"account\": \"$1\", \"dataset\": \"\"" |
        sed -nE "s/.*\"$2\": ([^,}]*).*/\1/p"
}

spent() {
    budget "$1" spent_epsilon
}

reserved() {
    budget "$1" reserved_epsilon
}

# holds EXPRESSION: of awk.
holds() {
    awk "BEGIN { exit !($1) }" || die "does not hold: $1${2:+ ($2)}"
}

check_ledger() {
    as reader ppt-budget check >/dev/null || die "the ledger does not agree with itself"
}

# expect STATUS WORDS COMMAND...: its exit status and words on stderr.
expect() {
    local status=$1 words=$2 got=0
    shift 2
    "$@" >"$dir/out" 2>"$dir/err" </dev/null || got=$?
    [ "$got" = "$status" ] || die "status $got, expected $status: $*: $(cat "$dir/err")"
    grep -qF -- "$words" "$dir/err" || die "no \"$words\" in: $(cat "$dir/err") ($*)"
}

# sql QUERY: as the database's superuser.
sql() {
    psql -X -q -A -t -v ON_ERROR_STOP=1 "$("$pg" conninfo "$dir/pg")" -c "$1"
}
