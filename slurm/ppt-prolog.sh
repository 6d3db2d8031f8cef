#!/bin/bash
# Slurm's Prolog for nodes where partitions or licences are kept for ppt: checks the
# signature of a job's admission token before anything of the job runs. slurmd runs it as
# root on every node of a job (slurm.conf: Prolog=, PrologFlags=Alloc,DeferBatch).
#
# A job whose token is not its own is cancelled and this ends with 0: a status other than 0
# drains the node, and no user may do that. Its AdminComment says why. Where nothing can be
# said (no list, no key, no answer of Slurm, no way to cancel) it ends with 1: Slurm then
# holds the job and drains the node until somebody has looked.

# Then it makes the job's own directory (protect.conf: scratch), which ppt-epilog.sh removes.

# shellcheck source=slurm/ppt-node.sh
. "$(dirname "$0")/ppt-node.sh" || exit 1

# slurmctld sends no batch script of a job that was cancelled while its prologs ran
# (DeferBatch). A step, which a user can ask for as soon as there is an allocation, may
# wait on this node for the prolog's end; slurmd then refuses it if it has heard of the
# cancellation, which usually takes milliseconds.
heard_s=2

refuse() {
    note "refused: $*"
    timeout 10 scontrol update jobid="$SLURM_JOB_ID" admincomment="ppt: $*" ||
        echo "ppt-prolog: no comment for job $SLURM_JOB_ID" >&2
    timeout 20 scancel "$SLURM_JOB_ID" || fail "cannot cancel it: $*"
    sleep "$heard_s"
    exit 0
}

may_be_protected || exit 0
ask
case $? in
0) ;;
1) refuse "its name is not that of a job of ppt" ;;
*) fail "Slurm does not say what it is" ;;
esac
is_protected || exit 0

check_token
status=$?
case $status:$words in
"0:job "*" attempt "*) ;;
13:*) refuse "${words#ppt-token: error: }" ;;
*) fail "cannot check its admission token: $status $words" ;;
esac

find_scratch
[ -n "$scratch" ] || exit 0
remove_scratch # of a job that was requeued while its node was down
mkdir -m 700 "$scratch" || fail "cannot make $scratch"
chown "$SLURM_JOB_UID:$SLURM_JOB_GID" "$scratch" || fail "cannot give $scratch away"
exit 0
