#!/usr/bin/env bash
# The scheduler keeps the keys of jobs' checkpoints and hands them to rank 0: a job that is
# stopped in the middle goes on from its sealed checkpoint, by mpirun and in the pool,
# under another scheduler process too, and its key is nowhere else.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 lease=3 restarts=2
kept=$dir/kept
mkdir -m 700 "$kept"
sed -i "s|^keys: {\(.*\)}|keys: {\1, checkpoints: $kept, checkpoint_keeper: scheduler}|" \
    "$dir/site-scheduler.yaml"

hex_of() {
    od -An -v -tx1 "$1" | tr -d ' \n'
}

# Is the key in this file, as it is or in hexadecimal?
holds_key() {
    hex_of "$1" | grep -qF "$key" || grep -qaiF "$key" "$1"
}

nowhere_else() {
    local pid file n=0
    for pid in $(job_pids "$1") "$schedd_pid"; do
        for file in "/proc/$pid/cmdline" "/proc/$pid/environ"; do
            [ -r "$file" ] || continue
            if holds_key "$file"; then die "the key is in $file"; fi
            n=$((n + 1))
        done
    done
    [ "$n" -ge 6 ] || die "only $n command lines and environments to look at"
    while IFS= read -r -d '' file; do
        if holds_key "$file"; then die "the key is in $file"; fi
    done < <(find "$dir/jobs" "$dir/schedd.log" "$dir/site-scheduler.yaml" -type f -print0)
    [ ! -e "$dir/jobs/$1/checkpoint.key" ] || die "a key beside its checkpoint"
}

# The attempt of this number trains: it has charged the meter more than is there when
# this begins, its beginning included.
wait_attempt() {
    local before
    before=$(stat -c %s "$dir/jobs/$1/meter")
    for _ in $(seq 600); do
        if [ "$(field "$1" attempt)" = "$2" ] &&
            [ "$(stat -c %s "$dir/jobs/$1/meter")" -gt $((before + 64)) ]; then
            return 0
        fi
        sleep 0.1
    done
    die "attempt $2 of job $1 makes no steps"
}

ask_ranks_to_stop() {
    # shellcheck disable=SC2046 # a list
    kill -TERM $(rank_pids "$1")
}

wait_for_nobody() {
    for _ in $(seq 300); do
        [ -n "$(job_pids "$1")" ] || return 0
        sleep 0.1
    done
    die "job $1 has processes still"
}

# goes_on OPTION: stopped twice, by a scheduler that lives and while there is none; the
# option is what ranks have that were started in the way that is meant.
goes_on() {
    local id rank
    id=$(submit long)
    wait_metered "$id"
    [ "$(stat -c '%a %s' "$kept/$id.key")" = '600 32' ] || die "no key for job $id"
    key=$(hex_of "$kept/$id.key")
    holds_key "$kept/$id.key" || die "the search finds nothing"
    nowhere_else "$id"
    read -r rank < <(rank_pids "$id")
    grep -qzxF -- "$1" "/proc/$rank/cmdline" || die "its ranks have no $1"
    ask_ranks_to_stop "$id"
    wait_attempt "$id" 2
    schedd_kill
    ask_ranks_to_stop "$id"
    wait_for_nobody "$id"
    [ -s "$dir/jobs/$id/checkpoint" ] || die "no checkpoint"
    schedd_start
    wait_attempt "$id" 3
    [ "$(hex_of "$kept/$id.key")" = "$key" ] || die "another key than before"
    nowhere_else "$id"
    wait_state "$id" "done"
    [ "$(field "$id" attempt)" = 3 ] || die "attempt $(field "$id" attempt)"
    [ ! -e "$kept/$id.key" ] || die "the key of a job that is done is still there"
    holds "$(field "$id" epsilon_spent) <= $(field "$id" epsilon)"
}

step "a directory that others may write to is refused"
chmod 777 "$kept"
expect 13 "is not this user's alone" as scheduler ppt-schedd
chmod 700 "$kept"

step "by mpirun"
schedd_start
heavy long 1 6000
goes_on --key-on-stdin

step "cancelled, its key ends with it"
id=$(submit long)
wait_metered "$id"
[ -e "$kept/$id.key" ] || die "no key for job $id"
as alice ppt-queue cancel "$id" >/dev/null
wait_state "$id" cancelled
[ ! -e "$kept/$id.key" ] || die "the key of a cancelled job is still there"

step "started by hand, without its key, it is refused before its meter is touched"
id=$(submit long)
wait_metered "$id"
schedd_kill
ask_ranks_to_stop "$id"
wait_for_nobody "$id"
sum=$(sha256sum <"$dir/jobs/$id/meter")
expect 13 "was not handed over" env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
    mpirun -n 2 --oversubscribe ppt-worker --plan "$dir/jobs/$id" --public-key "$dir/keys/plan.pub"
[ "$(sha256sum <"$dir/jobs/$id/meter")" = "$sum" ] || die "its meter was touched"

step "a key whose job ended without this scheduler is wiped when it starts"
head -c 32 /dev/urandom >"$kept/1.key"
chmod 600 "$kept/1.key"
schedd_start
wait_state "$id" "done"
[ ! -e "$kept/1.key" ] || die "the key of job 1 is still there"
schedd_stop

step "in the pool"
sed -i 's/kind: mpirun/kind: pool/' "$dir/site-scheduler.yaml"
schedd_start
goes_on --pool
schedd_stop
check_ledger
step "ok"
