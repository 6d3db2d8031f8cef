#!/usr/bin/env bash
# Jobs that wait for others: held without a reservation, run once those are done, refused
# where that cannot be any more.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
schedd_start

after() {
    as alice ppt-submit --after "$1" "$dir/quick.yaml"
}

step "one waits for two"
heavy slow 1 300000
spec quick 0.5 200
first=$(submit quick)
slow=$(submit slow)
next=$(after "$slow,$first")
last=$(after "$next")
wait_metered "$slow"
wait_state "$first" "done"
wait_state "$next" waiting
[ "$(field "$next" reason)" = "waits until job $slow is done" ] ||
    die "$(field "$next" reason)"
as alice ppt-queue show "$next" | grep -q "^after jobs *$first,$slow\$" || die "not shown"
[ "$(as alice ppt-queue show "$next" --json | grep -o '"after": [^]]*]')" = \
    "\"after\": [$first, $slow]" ] || die "not in JSON"
holds "$(reserved acme) <= 1.01" # the slow one's alone

step "and is refused when one of them is cancelled, as is what waits for it"
as alice ppt-queue cancel "$slow" 2>/dev/null
wait_state "$slow" cancelled
wait_state "$next" refused 30
[ "$(field "$next" reason)" = "job $slow, which it was to wait for, was cancelled" ] ||
    die "$(field "$next" reason)"
wait_state "$last" refused 30
[ "$(field "$last" error_code)" = 22 ] || die "code $(field "$last" error_code)"
holds "$(reserved acme) == 0"

step "runs when they are done; at once where they were before"
spec longer 0.5 3000
sed -i 's|^account: .*|account: acme/elsewhere|' "$dir/longer.yaml"
one=$(PPT_ACCOUNT=acme/lab submit longer 2>/dev/null) # who pays is the command line's
as reader ppt-queue show "$one" | grep -q '^account  *acme/lab$' || die "another account"
two=$(after "$one")
wait_state "$two" "done"
holds "$(sql "SELECT (SELECT ended_at FROM ppt.job WHERE id = $one) <=
    (SELECT admitted_at FROM ppt.job WHERE id = $two)" | sed 's/t/1/; s/f/0/')"
three=$(after "$first,$two")
wait_state "$three" "done"
check_ledger

step "what cannot be"
expect 2 'expected numbers of jobs or sweeps such as 12,s13' as alice ppt-submit --after 1,x "$dir/quick.yaml"
expect 2 'not --after others' as alice ppt-submit --here --after 1 "$dir/quick.yaml"
expect 5 'there is no job 999 that this login sees' as alice ppt-submit --after 999 "$dir/quick.yaml"
step "ok"
