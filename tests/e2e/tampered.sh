#!/usr/bin/env bash
# Somebody writes into a job's directory: the worker runs nothing it cannot verify, and
# what cannot be proven to be unspent is spent.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2
heavy slow 0.5 300000
spec quick 0.5 100

# in_place SED FILE: without another inode
in_place() {
    local text
    text=$(sed "$1" "$2")
    printf '%s\n' "$text" >"$2"
}

worker() {
    (
        [ "$(id -u)" != 0 ] ||
            export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        timeout 60 mpirun --oversubscribe -n 2 ppt-worker --plan "$dir/jobs/$1" \
            --public-key "$dir/keys/plan.pub"
    )
}

cancel() {
    as alice ppt-queue cancel "$1" 2>/dev/null
    wait_state "$1" "$2"
}

all_is_spent() {
    holds "$(field "$1" epsilon_spent) == $(field "$1" epsilon)" "$2"
    field "$1" reason | grep -q "$2" || die "$(field "$1" reason)"
}

step "keys that are not what they should be stop schedd"
chmod 644 "$dir/keys/plan.key"
expect 13 "plan.key" as scheduler ppt-schedd
chmod 600 "$dir/keys/plan.key"
cp "$dir/keys/plan.pub" "$dir/keys/kept"
head -c 32 /dev/zero >"$dir/keys/plan.pub"
expect 13 "is not the public key of" as scheduler ppt-schedd
mv "$dir/keys/kept" "$dir/keys/plan.pub"
chmod 777 "$dir/jobs"
expect 13 "not this user's alone" as scheduler ppt-schedd
chmod 700 "$dir/jobs"
schedd_start

step "a plan with more steps than were paid for is not run"
id=$(submit quick)
wait_state "$id" "done"
for what in "\"uid\": $(id -u)," "\"hosts\": \"$(hostname)\""; do
    grep -q "$what" "$dir/jobs/$id/plan.json" || die "the plan is not for $what"
done
in_place 's/"count": 100/"count": 900/' "$dir/jobs/$id/plan.json"
grep -q '"count": 900' "$dir/jobs/$id/plan.json" || die "nothing to tamper with"
expect 13 "" worker "$id"
id=$(submit quick)
wait_state "$id" "done"
in_place 's/"steps": *100/"steps": 900/' "$dir/jobs/$id/spec.json"
expect 13 "" worker "$id"

step "a plan changed in mid-run: the meter proves nothing"
id=$(submit slow)
wait_metered "$id"
in_place 's/"count": 300000/"count": 900000/' "$dir/jobs/$id/plan.json"
cancel "$id" cancelled
all_is_spent "$id" "everything reserved is spent"

step "a meter damaged in its middle"
id=$(submit slow)
wait_metered "$id"
sleep 3
as alice ppt-queue cancel "$id" 2>/dev/null
schedd_kill
for _ in $(seq 300); do
    [ -n "$(job_pids "$id")" ] || break
    # shellcheck disable=SC2046 # a list
    kill -TERM $(rank_pids "$id") 2>/dev/null || true
    sleep 0.3
done
printf '\377\377\377\377' | dd of="$dir/jobs/$id/meter" bs=1 seek=8 conv=notrunc 2>/dev/null
schedd_start
wait_end "$id"
[ "$(state "$id")" = cancelled ] || [ "$(state "$id")" = failed ] || die "$(state "$id")"
all_is_spent "$id" "meter is damaged"

step "settled below its price: its plan runs no more, nor a copy that is put back"
id=$(submit slow)
wait_metered "$id"
mkdir "$dir/copy"
cp -p "$dir/jobs/$id"/{plan.json,plan.sig,spec.json,manifest.yaml} "$dir/copy"
expect 18 "in use by another process" worker "$id" # while it runs
[ ! -e "$dir/jobs/$id/report.json" ] || die "another run spoke for the job"
cancel "$id" cancelled
holds "$(field "$id" epsilon_spent) < 0.4"
size=$(stat -c %s "$dir/jobs/$id/meter")
report=$(cat "$dir/jobs/$id/report.json")
expect 18 "is settled" worker "$id"
cp -p "$dir/copy"/* "$dir/jobs/$id"
expect 18 "is settled" worker "$id"
[ "$(stat -c %s "$dir/jobs/$id/meter")" = "$size" ] || die "something was charged"
[ "$(cat "$dir/jobs/$id/report.json")" = "$report" ] || die "another run spoke for the job"
rm "$dir/jobs/$id/meter"
expect 18 "there is no meter" worker "$id"
[ ! -e "$dir/jobs/$id/meter" ] || die "a meter was made anew"

step "a meter that is gone proves nothing"
id=$(submit slow)
wait_metered "$id"
rm "$dir/jobs/$id/meter"
cancel "$id" cancelled
all_is_spent "$id" "damaged or gone"

step "a meter that somebody holds: settled once it is let go"
id=$(submit slow)
wait_metered "$id"
# shellcheck disable=SC2016 # that shell expands them
flock "$dir/jobs/$id/meter" sh -c 'touch "$1" && sleep 5 && rm "$1"' - "$dir/held" & # waits
as alice ppt-queue cancel "$id" 2>/dev/null
for _ in $(seq 300); do
    [ ! -e "$dir/held" ] || break
    sleep 0.1
done
sleep 3
now=$(state "$id")
[ -e "$dir/held" ] || die "nobody held it"
[ "$now" = running ] || die "settled while its meter was held: $now"
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) < 0.4"

step "a directory that is gone"
id=$(submit slow)
wait_metered "$id"
schedd_kill
# shellcheck disable=SC2046 # a list
kill -KILL $(job_pids "$id")
rm -r "$dir/jobs/${id:?}"
schedd_start
wait_state "$id" failed
all_is_spent "$id" "removed or damaged"

step "a row that claims another account than its spec"
slow=$(as alice ppt-submit --dry-run --json "$dir/quick.yaml" >/dev/null && cat "$dir/jobs/1/spec.json")
as officer ppt-budget account create acme/other
as officer ppt-budget member add acme/other alice
id=$(psql -X -q -A -t "$("$pg" conninfo "$dir/pg" alice)" -v spec="$slow
" <<'SQL'
SELECT ppt.queue_submit('quick', 'acme/other', 'private', :'spec', 'made-up');
SQL
)
wait_state "$id" refused
field "$id" reason | grep -q "account is not the one" || die "$(field "$id" reason)"
id=$(psql -X -q -A -t "$("$pg" conninfo "$dir/pg" alice)" -v spec=" $slow" <<'SQL'
SELECT ppt.queue_submit('quick', 'acme/lab', 'private', :'spec', 'made-up-2');
SQL
)
wait_state "$id" refused
field "$id" reason | grep -q "canonical form" || die "$(field "$id" reason)"
check_ledger
step "ok"
