#!/usr/bin/env bash
# Slurm's submit filter on a real controller: a protected partition and licence take jobs
# with a fitting admission token only, and a job cannot be brought there by a change.
#   protect.sh TOKEN_TOOL
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
tool=${1:?the program token_tool}
uid=65534 # nobody: a user with no rights at Slurm

mkdir "$cluster"
protect_conf=$cluster/protect.conf
printf '%s\n' "partition private  # a comment" "" "license ppt" "key of-the-prolog" \
    >"$protect_conf"
sed "s|/etc/ppt/protect.conf|$protect_conf|" "$source/slurm/job_submit.lua" \
    >"$cluster/job_submit.lua"
RIG_CONF="JobSubmitPlugins=lua
Licenses=ppt:4,other:4
PartitionName=private Nodes=n[1-4] State=UP" cluster_start

user() {
    "$rig" run "$cluster" timeout 20 setpriv --reuid=$uid --regid=$uid --clear-groups "$@"
}

# batch NAME OPTION...: a job of nobody that does nothing
batch() {
    local name=$1
    shift
    user sbatch --chdir=/tmp --output=/dev/null --job-name="$name" "$@" --wrap true
}

token() {
    "$tool" "$dir/key" 17 2 "$@"
}

# refused WORDS COMMAND...
refused() {
    local words=$1
    shift
    expect 1 "$words" "$@"
    grep -q 'ppt-submit job.yaml' "$dir/err" || die "no word of ppt-submit"
}

# changed FIELD=VALUE: the change is refused, and the job is what it was
unchangeable() {
    local before
    before=$(slurm squeue -h -j "$job" -o '%P|%W|%j|%k')
    expect 1 "denied" user scontrol update jobid="$job" "$1"
    [ "$(slurm squeue -h -j "$job" -o '%P|%W|%j|%k')" = "$before" ] || die "changed: $1"
}

head -c 32 /dev/urandom >"$dir/key"
chmod 600 "$dir/key"
soon=$(($(date +%s) + 600))
good=$(token $uid $soon ours)

step "what asks for nothing protected needs no token"
batch plain >/dev/null
batch plain --licenses=other:1 >/dev/null

step "what does, is refused without one"
refused "partition private takes only jobs whose privacy cost is paid for, and the job has no admission token" \
    batch ours --partition=private
refused "no admission token" batch ours --partition=main,private
refused "licence ppt" batch ours --licenses=other:1,ppt:2
refused "licence ppt" batch ours --licenses=ppt
refused "licence ppt" batch ours --licenses='other:1|ppt:2' # Slurm 25.05's "either"
refused "licence ppt" batch ours --licenses='other|ppt'
refused "no admission token" user srun --partition=private true
refused "no admission token" user salloc --partition=private true
slurm scontrol update partition=private default=yes
refused "no admission token" batch ours
slurm scontrol update partition=main default=yes

step "or with one that does not fit"
refused "not an admission token" batch ours --partition=private --comment=please
refused "not an admission token" batch ours --partition=private --comment="${good%?}"
refused "not an admission token" batch ours --partition=private --comment="x$good"
refused "for a job named ours, not theirs" \
    batch theirs --partition=private --comment="$good"
refused "for user id 1, not $uid" \
    batch ours --partition=private --comment="$(token 1 $soon ours)"
refused "expired 1" batch ours --partition=private \
    --comment="$(token $uid $(($(date +%s) - 10)) ours)"

step "with its own it is taken"
batch ours --partition=private --licenses=ppt:1 --comment="$good" >/dev/null
for _ in $(seq 100); do
    [ "$(slurm_state ours)" != COMPLETED ] || break
    sleep 0.2
done
[ "$(slurm_state ours)" = COMPLETED ] || die "$(slurm_state ours)"

step "no job gets there by a change"
job=$(batch free --hold | sed 's/.* //')
unchangeable partition=private
unchangeable partition=main,private
unchangeable licenses=ppt:1
user scontrol update jobid="$job" name=freer
[ "$(slurm squeue -h -j "$job" -o %j)" = freer ] || die "an unprotected job has no rights"

step "and what a token was checked against stays"
# not by --hold, which a change of nice takes away
job=$(batch ours --begin=now+1hour --partition=private --comment="$good" | sed 's/.* //')
unchangeable name=theirs
unchangeable comment=none
unchangeable comment=
unchangeable partition=main
unchangeable licenses=ppt:2
user scontrol update jobid="$job" nice=7
user scontrol update jobid="$job" name=ours nice=8
[ "$(slurm squeue -h -j "$job" -o %y)" = 8 ] || die "nothing may be changed"
slurm scontrol update jobid="$job" partition=main # root may

step "a list that cannot be read changes nothing, and stops a controller that starts"
echo "partition" >"$protect_conf"
sleep 1
touch "$cluster/job_submit.lua"
refused "no admission token" batch ours --partition=private
grep -q 'expected a key and a value, found "partition"' "$cluster/slurmctld.log" ||
    die "the log does not say so"
cluster_stop
if RIG_CONF="JobSubmitPlugins=lua" RIG_START_S=10 cluster_start 2>/dev/null; then
    die "it started without knowing what to protect"
fi
grep -q 'fatal: failed to initialize job_submit plugin' "$cluster/slurmctld.log" ||
    die "not for want of the list"
step "ok"
