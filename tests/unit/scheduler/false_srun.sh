#!/usr/bin/env bash
# A false srun for check_launch_pilot. As a world it does what worker/orders.h says: a job
# lasts as long as its file `takes` says; one with a file `dies` takes its world with it,
# one with `deaf` is not even begun. In $TEST_ROOT srun.calls has who was started, and
# worlds.jobs which world, by its pid, ran which job.
echo "$@" >>"$TEST_ROOT/srun.calls"
world=
while [ $# -gt 0 ]; do
    [ "$1" != --pool ] || world=$2
    shift
done
if [ -z "$world" ]; then
    sleep 0.2
    exit 7
fi
cd "$world" || exit 1
echo words of a world
while :; do
    if [ -e idle ]; then
        sleep 0.01
        continue
    fi
    set -- busy-*
    [ -e "$1" ] || exit 0
    job=$(cat order)
    [ ! -e "$job/deaf" ] || exit 3
    if mv -T "$job/ticket-1" "$job/taken-1"; then
        echo $$ "${job##*/}" >>"$TEST_ROOT/worlds.jobs"
        sleep "$(cat "$job/takes")"
        [ ! -e "$job/dies" ] || exit 9
        echo 0 >"$job/ended-1"
    fi
    mv -T "$1" idle || exit 0
done
