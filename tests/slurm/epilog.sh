#!/usr/bin/env bash
# A job's own directory on its nodes, from the prolog to the epilog: its owner's alone, used
# by the ranks, and nothing stays. A job whose script was killed is told of by the epilog.
#   epilog.sh TOKEN_TOOL
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
tool=${1:?the program token_tool}
uid=65534 # nobody

site cores=8 grace=5 restarts=0
use_sbatch
protect_nodes <<<"scratch /tmp/scratch"
# Two ranks on one node share memory by files.
sed -i 's|launcher: {|&scratch: /tmp/scratch, |; s|--ntasks-per-node=1|--ntasks-per-node=2|' \
    "$dir/site-scheduler.yaml" "$dir/site-alice.yaml"
mkdir -m 777 "$dir/ran"
RIG_CONF=$protected cluster_start

holds_something() {
    [ -n "$(find "$cluster"/n[1-4]/tmp/scratch -mindepth "$1" -print -quit)" ]
}

is_clean() {
    ! holds_something 1
}

drains() {
    [ -n "$(slurm sinfo -h -t drain -o %n)" ]
}

step "a job's directory is its user's alone, on each of its nodes, and goes with it"
cat >"$dir/ran/script" <<'END'
#!/bin/bash
srun bash -c 'stat -c "%u:%g %a" /tmp/scratch/$SLURM_JOB_ID
    mkdir -p /tmp/scratch/$SLURM_JOB_ID/sums/more
    ln -s /tmp/kept /tmp/scratch/$SLURM_JOB_ID/link
    touch /tmp/kept /tmp/scratch/$SLURM_JOB_ID/sums/{one,two}'
END
"$rig" run "$cluster" setpriv --reuid=$uid --regid=$uid --clear-groups sbatch --parsable \
    --nodes=2 --ntasks-per-node=1 --chdir=/tmp --output="$dir/ran/out" --job-name=ours \
    --partition=private --wait \
    --comment="$("$tool" "$dir/keys/plan.key" 17 2 $uid $(($(date +%s) + 600)) ours)" \
    "$dir/ran/script" >/dev/null || die "$(cat "$dir/ran/out")"
[ "$(cat "$dir/ran/out")" = "$uid:$uid 700"$'\n'"$uid:$uid 700" ] ||
    die "found $(cat "$dir/ran/out")"
wait_for 10 "nothing is left in scratch" is_clean
[ "$(find "$cluster"/n[1-4]/tmp/kept | wc -l)" = 2 ] || die "a link was followed"

step "ranks of a job of ppt use it"
spec job 1.5 400000
schedd_start
id=$(submit job)
wait_for 60 "what ranks share is in there" holds_something 2

step "its script is killed with all else: the epilog says that it has ended"
sleep 1
slurm scancel --signal=KILL --full --name="ppt-$id-1"
wait_state "$id" cancelled 30
wait_for 10 "word of the epilog" [ -e "$dir/jobs/$id/ended-1" ]
[ "$(cat "$dir/jobs/$id/ended-1")" = epilog ] || die "the script has ended by itself"
wait_for 10 "nothing is left in scratch" is_clean
holds "$(reserved acme) == 0 && $(spent acme) > 0"
! grep -q "there is no" "$dir/jobs/$id/log" || die "$(cat "$dir/jobs/$id/log")"

step "what ended by itself keeps its own word"
spec short 0.5 20
id=$(submit short)
wait_state "$id" "done"
wait_for 10 "nothing is left in scratch" is_clean
[ "$(cat "$dir/jobs/$id/ended-1")" = 0 ] || die "$(cat "$dir/jobs/$id/ended-1")"
[ -z "$(slurm sinfo -h -t drain,down -o %n)" ] || die "$(slurm sinfo -R)"

step "a folder that others can write is not used"
chmod 777 "$cluster"/n[1-4]/tmp/scratch
id=$(submit short)
wait_for 30 "a node that drains" drains
[ ! -e "$dir/jobs/$id/taken-1" ] || die "it ran"
check_ledger
step "ok"
