#!/usr/bin/env bash
# The prolog on the nodes: no job with a forged, borrowed or old token runs a line, no node
# drains for it, and jobs of ppt and unprotected ones run as ever.
#   forged.sh TOKEN_TOOL
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
tool=${1:?the program token_tool}
uid=65534 # nobody

site cores=8 grace=5
use_sbatch
protect_nodes <<<"license ppt"
mkdir -m 777 "$dir/ran"
RIG_CONF="$protected
Licenses=ppt:4" cluster_start

user() {
    "$rig" run "$cluster" timeout 20 setpriv --reuid=$uid --regid=$uid --clear-groups "$@"
}

token() {
    "$tool" "$dir/keys/plan.key" 17 2 "$@"
}

# batch NAME OPTION...: a job of nobody on two nodes that leaves a file; its number
batch() {
    local name=$1
    shift
    user sbatch --parsable --nodes=2 --chdir=/tmp --output=/dev/null --job-name="$name" \
        "$@" --wrap "touch $dir/ran/\$SLURM_JOB_ID; sleep 1"
}

# ends JOB STATE
ends() {
    local now=
    for _ in $(seq 150); do
        now=$(slurm squeue -h -t all -j "$1" -o %T)
        case $now in
        PENDING | CONFIGURING | RUNNING | COMPLETING) sleep 0.2 ;;
        *) break ;;
        esac
    done
    [ "$now" = "$2" ] || die "job $1 is $now: $(slurm scontrol show job "$1")"
}

# never_runs WORDS NAME OPTION...
never_runs() {
    local words=$1 job
    shift
    job=$(batch "$@")
    ends "$job" CANCELLED
    [ ! -e "$dir/ran/$job" ] || die "job $job ran"
    ! grep -h "[Jj]ob $job " "$cluster"/n*/slurmd.log || die "job $job was sent to a node"
    slurm scontrol show job "$job" | grep -qF "AdminComment=ppt: " || die "no comment"
    slurm scontrol show job "$job" | grep -qF "$words" ||
        die "no \"$words\" in $(slurm scontrol show job "$job")"
}

runs() {
    local job
    job=$(batch "$@")
    ends "$job" COMPLETED
    [ -e "$dir/ran/$job" ] || die "job $job did not run"
}

soon=$(($(date +%s) + 600))
good=$(token $uid $soon ours)

step "jobs that ask for nothing protected"
runs free

step "no token, another job's, another user's, an old one, a forged one"
never_runs "it is empty" none --partition=private
never_runs "for a job named ours" theirs --partition=private --comment="$good"
never_runs "for user id 1, and the job is user id $uid's" ours --partition=private \
    --comment="$(token 1 $soon ours)"
never_runs "expired 3" ours --partition=private \
    --comment="$(token $uid $(($(date +%s) - 30)) ours)"
never_runs "was not signed by this site's ppt-schedd" ours --partition=private \
    --comment="${good%:*}:$(printf '%0128d' 0)"
never_runs "was not signed" ours --licenses=ppt:1 --comment="${good/:17:/:18:}"
never_runs "no admission token" ours --partition=private --comment=--help
# A name that looks like another line of squeue, for a token that has expired.
us=$'\x1f'
old=$(token $uid $(($(date +%s) - 30)) ours)
next=$(($(batch ours --partition=private --comment="$old") + 1))
never_runs "not that of a job" $'ours\n'"$next${us}9${us}n1${us}(null)${us}ours" --partition=private \
    --comment="$old"
if user srun --partition=private --job-name=ours touch "$dir/ran/srun" 2>"$dir/err"; then
    die "srun ran"
fi
[ ! -e "$dir/ran/srun" ] || die "srun's command ran"

step "steps that wait for the prolog in an allocation of salloc"
coproc granted { user salloc --no-shell --nodes=2 --partition=private --job-name=ours 2>&1; }
while read -r line; do
    case $line in *Granted*) break ;; esac
done <&"${granted[0]}"
for _ in 1 2 3; do
    user srun --jobid="${line##* }" --overlap --nodes=2 touch "$dir/ran/step" </dev/null \
        >>"$dir/err" 2>&1 &
done
ends "${line##* }" CANCELLED
[ ! -e "$dir/ran/step" ] || die "a step ran"

step "with its own token it runs"
runs ours --partition=private --licenses=ppt:1 --comment="$good"

step "so does a job that was handed in with ppt-submit"
spec job 1.5 300
schedd_start
id=$(submit job)
wait_state "$id" "done"
[ "$(slurm squeue -h -t all -n "ppt-$id-1" -o %P)" = private ] || die "elsewhere"

step "no node has drained"
[ -z "$(slurm sinfo -h -t drain,down -o %n)" ] || die "$(slurm sinfo -R)"

step "a node that cannot check runs nothing, and says so to its administrator"
mv "$dir/keys/plan.pub" "$dir/keys/away"
job=$(batch ours --partition=private --comment="$good")
for _ in $(seq 100); do
    [ -z "$(slurm sinfo -h -t drain -o %n)" ] || break
    sleep 0.2
done
[ -n "$(slurm sinfo -h -t drain -o %n)" ] || die "no node has drained"
[ ! -e "$dir/ran/$job" ] || die "job $job ran"
mv "$dir/keys/away" "$dir/keys/plan.pub"
check_ledger
step "ok"
