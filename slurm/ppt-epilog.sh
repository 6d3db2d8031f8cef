#!/bin/bash
# Slurm's Epilog for nodes where partitions or licences are kept for ppt: removes the job's
# own directory, with all that its processes left in there, and tells ppt-schedd that the
# job has ended. slurmd runs it as root on every node of a job (slurm.conf: Epilog=), when
# no process of the job is left on that node.
#
# What it tells is the file ended-N in the job's directory, which the batch script writes
# too, unless it was killed. It makes ppt-schedd look sooner and proves nothing.
#
# It ends with 0 wherever a user could bring about the other, since that drains the node.

# shellcheck source=slurm/ppt-node.sh
. "$(dirname "$0")/ppt-node.sh" || exit 1

# tell ATTEMPT: as the job's user, who could do it as well; only where the attempt has run,
# and not over what the script wrote.
tell() {
    # shellcheck disable=SC2016 # the inner shell's
    timeout 10 setpriv --reuid="$SLURM_JOB_UID" --regid="$SLURM_JOB_GID" --clear-groups \
        --no-new-privs bash -c 'umask 077
            cd "$1" && [ -e "taken-$2" ] && set -C && echo epilog >"ended-$2"' \
        - "${SLURM_JOB_WORK_DIR:-/nonexistent}" "$1" 2>/dev/null
}

may_be_protected || exit 0
find_scratch
if [ -n "$scratch" ]; then
    remove_scratch || remove_scratch || note "cannot remove all of $scratch; it is root's now"
fi
ask && is_protected || exit 0
[ "$batch_host" = "$SLURMD_NODENAME" ] || exit 0 # where rank 0 was
check_token || exit 0                            # the prolog has said why
[[ $words =~ ^job\ [0-9]+\ attempt\ ([0-9]+)$ ]] || exit 0
tell "${BASH_REMATCH[1]}"
exit 0
