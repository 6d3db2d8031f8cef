# shellcheck shell=bash
# What ppt-prolog.sh and ppt-epilog.sh share; they look for it beside themselves. slurmd
# runs both as root, so this file is root's and nobody else's to write.

# The same file as job_submit.lua's, with the keys public_key, program and scratch as well.
config=/etc/ppt/protect.conf
# slurmd hands no PATH over. Where squeue, scontrol and scancel are:
PATH=/usr/local/bin:/usr/bin:/bin
export PATH LC_ALL=C
set -u
me=$(basename "$0" .sh)

note() {
    logger -t "$me" "job $SLURM_JOB_ID of user id $SLURM_JOB_UID: $*" 2>/dev/null
    echo "$me: $*" >&2
}

fail() {
    note "$*"
    exit 1
}

# values KEY: of the lines "KEY VALUE"
values() {
    sed -nE "s/#.*//; s/^[[:space:]]*$1[[:space:]]+([^[:space:]]+)[[:space:]]*\$/\1/p" "$config"
}

is_in() {
    grep -qxF -- "$1" <<<"$2"
}

# Sets submitted, batch_host, licenses and name to what Slurm knows of the job; the
# environment has none of them. What stands between them is in none of Slurm's own words,
# but "|" is: Slurm 25.05 takes lists such as "a|b" for licences. Names are a user's
# choice and may hold anything: 1 where there are more or fewer lines of this job than one,
# 2 where Slurm does not answer.
ask() {
    local answer line n=0 between=$'\x1f'
    for _ in 1 2 3; do
        answer=$(SLURM_TIME_FORMAT=%s timeout 10 squeue --noheader --local --jobs="$SLURM_JOB_ID" \
            --format="%A$between%V$between%B$between%W$between%j" 2>/dev/null) && break
        answer=
        sleep 1
    done
    [ -n "$answer" ] || return 2
    while IFS= read -r line; do
        [ "${line%%"$between"*}" != "$SLURM_JOB_ID" ] || {
            n=$((n + 1))
            # shellcheck disable=SC2034 # batch_host is the epilog's
            IFS=$between read -r _ submitted batch_host licenses name <<<"$line"
        }
    done <<<"$answer"
    [ "$n" = 1 ]
}

# Sets partitions and protected_licenses. Could the job have anything that is protected?
may_be_protected() {
    [ -r "$config" ] || fail "cannot read $config"
    partitions=$(values partition)
    protected_licenses=$(values license)
    is_in "$SLURM_JOB_PARTITION" "$partitions" || [ -n "$protected_licenses" ]
}

# After ask. Has it?
is_protected() {
    local asked license
    ! is_in "$SLURM_JOB_PARTITION" "$partitions" || return 0
    IFS=',;|' read -ra asked <<<"$licenses"
    for license in "${asked[@]}"; do
        ! is_in "${license%%[:@*]*}" "$protected_licenses" || return 0
    done
    return 1
}

# After ask. Sets words to what ppt-token says of the job's comment; its status.
check_token() {
    local key program status=0
    key=$(values public_key) program=$(values program)
    [ -n "$key" ] || fail "there is no public_key in $config"
    words=$(timeout 20 "${program:-ppt-token}" --public-key="$key" --uid="$SLURM_JOB_UID" \
        --name="$name" --submitted="$submitted" -- "${SLURM_JOB_COMMENT:-}" 2>&1) || status=$?
    words=${words//$'\n'/; }
    words=${words//[^[:print:]]/?} # the job's name may be in them
    return "$status"
}

# Sets scratch to the job's own directory on this node; "" where the site has none. The
# folder that it lies in is root's and nobody else's, so nobody else can have put
# something of that name there.
find_scratch() {
    local folder
    folder=$(values scratch) scratch=
    [ -n "$folder" ] || return 0
    [[ $folder = /* && $SLURM_JOB_ID =~ ^[0-9]+$ ]] || fail "cannot use scratch $folder"
    [[ $(stat -c '%u %A' "$folder") =~ ^0\ d....-..-.$ ]] ||
        fail "scratch $folder is not a folder that only root can write"
    scratch=$folder/$SLURM_JOB_ID
}

# Nothing of the job runs here any more, or not yet. rm follows no link and goes over no
# border of file systems.
remove_scratch() {
    [ -e "$scratch" ] || return 0
    chown root: "$scratch" && chmod 700 "$scratch" &&
        timeout 300 rm -rf --one-file-system "$scratch"
}
