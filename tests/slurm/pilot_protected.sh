#!/usr/bin/env bash
# A pilot in a partition that is kept for ppt: its own token lets it in, its jobs' ranks use
# the directory that the prolog makes, nothing of it stays, and its token is nobody else's.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
uid=65534 # nobody

site cores=8 grace=5
use_pilots 'nodes: 1, cores: 2, memory: 2GiB, time: 30m, most: 1, idle: 3s'
protect_nodes <<<"scratch /tmp/scratch"
sed -i 's|launcher: {|&scratch: /tmp/scratch, |' "$dir"/site-{scheduler,alice}.yaml
sed "s|/etc/ppt/protect.conf|$cluster/protect.conf|" "$source/slurm/job_submit.lua" \
    >"$cluster/job_submit.lua"
RIG_CONF="JobSubmitPlugins=lua
$protected" cluster_start
schedd_start

shared_memory() {
    find "$cluster"/n[1-4]/tmp/scratch/"$pilot" -name '*vader*' -print -quit
}

has_shared_memory() {
    [ -n "$(shared_memory)" ]
}

is_clean() {
    [ -z "$(find "$cluster"/n[1-4]/tmp/scratch -mindepth 1 -print -quit)" ]
}

step "the filter and the prolog let it in, and two jobs run in it"
spec quick 0.2 20
for _ in 1 2; do
    id=$(submit quick)
    wait_state "$id" "done"
done
pilot=$(field "$id" slurm_job_id)
[ "$(slurm squeue -h -t all -j "$pilot" -o '%P %j')" = "private ppt-pilot-1" ] ||
    die "$(slurm squeue -h -t all -o '%i %P %j')"
[ "$(slurm squeue -h -t all -o %A | wc -l)" = 1 ] || die "jobs beside it"
! grep -q "there is no" "$dir/jobs/pilots/1/log" || die "$(cat "$dir/jobs/pilots/1/log")"
wait_for 5 "what ranks share is in its directory" has_shared_memory

step "its token is for its user and its name"
token=$(slurm squeue -h -j "$pilot" -o %k)
[[ $token = ppt1:1:1:0:*:ppt-pilot-1:* ]] || die "token $token"
expect 1 "for user id 0, not $uid" "$rig" run "$cluster" setpriv --reuid=$uid \
    --regid=$uid --clear-groups sbatch --chdir=/tmp --output=/dev/null \
    --job-name=ppt-pilot-1 --partition=private --comment="$token" --wrap true
expect 1 "for a job named ppt-pilot-1, not mine" "$rig" run "$cluster" sbatch \
    --chdir=/tmp --output=/dev/null --job-name=mine --partition=private \
    --comment="$token" --wrap true

step "it goes with all that it had, and the next one gets in too"
wait_for 30 "the pilot is gone" no_pilot
wait_for 10 "nothing is left in scratch" is_clean
id=$(submit quick)
wait_state "$id" "done"
[ "$(field "$id" slurm_job_id)" != "$pilot" ] || die "not in another one"
[ -z "$(slurm sinfo -h -t drain,down -o %n)" ] || die "$(slurm sinfo -R)"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
