#!/bin/bash
# Slurm's Prolog for nodes where partitions or licences are kept for ppt: checks the
# signature of a job's admission token before anything of the job runs. slurmd runs it as
# root on every node of a job (slurm.conf: Prolog=, PrologFlags=Alloc).
#
# A job whose token is not its own is cancelled and this ends with 0: a status other than 0
# drains the node, and no user may do that. Its AdminComment says why. Where nothing can be
# said (no list, no key, no answer of Slurm, no way to cancel) it ends with 1: Slurm then
# holds the job and drains the node until somebody has looked.

# The same file as job_submit.lua's, with the keys public_key and program as well.
config=/etc/ppt/protect.conf
# slurmd hands no PATH over. Where squeue, scontrol and scancel are:
PATH=/usr/local/bin:/usr/bin:/bin
export PATH LC_ALL=C
set -u

fail() {
    logger -t ppt-prolog "job $SLURM_JOB_ID: $*" 2>/dev/null
    echo "ppt-prolog: $*" >&2
    exit 1
}

# Slurm starts nothing of a job that was cancelled while its prolog ran.
refuse() {
    logger -t ppt-prolog "job $SLURM_JOB_ID of user id $SLURM_JOB_UID refused: $*" 2>/dev/null
    timeout 10 scontrol update jobid="$SLURM_JOB_ID" admincomment="ppt: $*" ||
        echo "ppt-prolog: no comment for job $SLURM_JOB_ID" >&2
    timeout 20 scancel "$SLURM_JOB_ID" || fail "cannot cancel it: $*"
    exit 0
}

# values KEY: of the lines "KEY VALUE"
values() {
    sed -nE "s/#.*//; s/^[[:space:]]*$1[[:space:]]+([^[:space:]]+)[[:space:]]*\$/\1/p" "$config"
}

is_in() {
    grep -qxF -- "$1" <<<"$2"
}

# Sets submitted, licenses and name to what Slurm knows of the job; its prolog's
# environment has none of them. Names are a user's choice and may hold anything: more or
# fewer lines of this job than one are no answer.
ask() {
    local answer line n=0
    for _ in 1 2 3; do
        answer=$(SLURM_TIME_FORMAT=%s timeout 10 squeue --noheader --local \
            --jobs="$SLURM_JOB_ID" --format='%A|%V|%W|%j' 2>/dev/null) && break
        answer=
        sleep 1
    done
    [ -n "$answer" ] || fail "Slurm does not say what it is"
    while IFS= read -r line; do
        [ "${line%%|*}" != "$SLURM_JOB_ID" ] || {
            n=$((n + 1))
            IFS='|' read -r _ submitted licenses name <<<"$line"
        }
    done <<<"$answer"
    [ "$n" = 1 ] || refuse "its name is not that of a job of ppt"
}

[ -r "$config" ] || fail "cannot read $config"
partitions=$(values partition)
protected_licenses=$(values license)
is_protected=false
if is_in "$SLURM_JOB_PARTITION" "$partitions"; then is_protected=true; fi
[ "$is_protected" = true ] || [ -n "$protected_licenses" ] || exit 0

ask
IFS=',;|' read -ra asked <<<"$licenses"
for license in "${asked[@]}"; do
    if is_in "${license%%[:@*]*}" "$protected_licenses"; then is_protected=true; fi
done
[ "$is_protected" = true ] || exit 0

key=$(values public_key) program=$(values program)
[ -n "$key" ] || fail "there is no public_key in $config"
status=0
words=$(timeout 20 "${program:-ppt-token}" --public-key="$key" --uid="$SLURM_JOB_UID" \
    --name="$name" --submitted="$submitted" -- "${SLURM_JOB_COMMENT:-}" 2>&1) || status=$?
words=${words//$'\n'/; }
words=${words//[^[:print:]]/?} # the job's name may be in them
case $status:$words in
"0:job "*" attempt "*) exit 0 ;;
13:*) refuse "${words#ppt-token: error: }" ;;
*) fail "cannot check its admission token: $status $words" ;;
esac
