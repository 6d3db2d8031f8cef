#!/usr/bin/env bash
# What ppt-node.sh makes of squeue's answers, those of other versions of Slurm too: the
# answers are the test's, all else is what runs on a node.
set -euo pipefail
source=${PPT_SOURCE_DIR:?set by ctest}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

die() {
    echo "FAILED: $*" >&2
    exit 1
}

printf '%s\n' "partition private" "license ppt" >"$dir/protect.conf"
sed "s|/etc/ppt/protect.conf|$dir/protect.conf|; s|^PATH=|PATH=$dir:|" \
    "$source/slurm/ppt-node.sh" >"$dir/ppt-node.sh"
cat >"$dir/squeue" <<'END'
#!/bin/bash
# Fills the format in as squeue does.
for word; do case $word in --format=*) line=${word#*=} ;; esac; done
line=${line//%A/7} line=${line//%V/1700000000} line=${line//%B/n1}
line=${line//%W/$TEST_LICENSES}
printf '%s\n' "${line//%j/$TEST_NAME}"
END
chmod 755 "$dir/squeue"
export SLURM_JOB_ID=7 SLURM_JOB_UID=65534 SLURM_JOB_PARTITION=main

# answers LICENSES NAME: "STATUS of ask, yes or no, submitted, host, name"
answers() {
    TEST_LICENSES=$1 TEST_NAME=$2 bash -c '. "$0"
        may_be_protected || exit 9
        status=0 answer=no
        ask || status=$?
        ! is_protected || answer=yes
        echo "$status $answer $submitted $batch_host $name"' "$dir/ppt-node.sh"
}

# gives ANSWER LICENSES: for a job whose name tries to be more than that
gives() {
    local found name
    for name in ours 'ours|n1' '|(null)|' $'o\x1furs'; do
        found=$(answers "$2" "$name")
        [ "$found" = "0 $1 1700000000 n1 $name" ] || die "licences $2, name $name: $found"
    done
}

gives no '(null)'
gives no other:1
gives no 'other|more:2'
gives no pptx:1
gives yes ppt
gives yes other:1,ppt:2
gives yes 'other:1|ppt:1'
gives yes 'ppt|other'
gives yes 'other|ppt@server:1'
gives yes 'other;ppt*2'
found=$(answers other:1 $'ours\n7\x1f9\x1fn1\x1f(null)\x1fours')
[[ $found = 1* ]] || die "a name of two lines: $found"
echo ok
