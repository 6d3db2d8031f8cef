#!/usr/bin/env bash
# Jobs that ask for GPUs, on nodes that have one each by Slurm's gres and none in truth:
# what is refused, what Slurm is asked for, where the ranks go, and that it costs nothing
# when they find no GPU.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=16 grace=5
sed -i 's/^node: {/&gpus: 3, /' "$dir"/site-{scheduler,alice}.yaml
sed -i 's|^launcher: {kind: [a-z]*, |launcher: {kind: sbatch, |' "$dir"/site-{scheduler,alice}.yaml
mkdir "$dir/seen"
RIG_GRES=gpu:1 cluster_start
# The worker, and what its ranks are shown.
cat >"$dir/worker" <<END
#!/bin/bash
echo "\$(hostname) \${CUDA_VISIBLE_DEVICES-none}" >"$dir/seen/\$SLURM_PROCID"
exec $build/worker/ppt-worker "\$@"
END
chmod 755 "$dir/worker"
sed -i "s|worker: [^,}]*|worker: $dir/worker|" "$dir/site-scheduler.yaml"
schedd_start

# with_gpus NAME RANKS
with_gpus() {
    spec "$1" 0.2 20
    sed -i "s/ranks: 2/ranks: $2, gpus_per_rank: 1/" "$dir/$1.yaml"
}

step "more than the site has"
with_gpus four 4
id=$(submit four)
wait_state "$id" refused
[[ $(field "$id" reason) = *"with 3 GPUs, has room for 3 of them: write ranks: 3"* ]] ||
    die "$(field "$id" reason)"

step "three ranks go to three nodes, and each is shown one GPU"
with_gpus three 3
id=$(submit three)
wait_end "$id"
slurm scontrol show job "$(field "$id" slurm_job_id)" >"$dir/out"
grep -q 'TresPerTask=gres:gpu:1' "$dir/out" || die "$(cat "$dir/out")"
[ "$(cut -d' ' -f1 "$dir"/seen/? | sort -u | wc -l)" = 3 ] || die "$(cat "$dir"/seen/?)"
[ "$(cut -d' ' -f2 "$dir"/seen/? | sort -u)" = 0 ] || die "$(cat "$dir"/seen/?)"

step "how many it has is shown"
[ "$(field "$id" gpus) $(field "$id" gpus_per_rank)" = "3 1" ] || die "$(as reader ppt-queue show "$id" --json)"
as reader ppt-queue show "$id" >"$dir/out"
grep -q "^resources  *3 ranks, 3 cores, 3 GPUs, " "$dir/out" || die "$(cat "$dir/out")"
as alice ppt-queue list >"$dir/list"
grep -q "^ *ID .* TIME  GPUS  SLURM  SLURM STATE" "$dir/list" || die "$(cat "$dir/list")"
grep -qE "^ *$id .* 3  +$(field "$id" slurm_job_id)  " "$dir/list" || die "$(cat "$dir/list")"

step "where there is none it fails, and has paid nothing"
if [ ! -e /dev/nvidia0 ]; then
    [ "$(state "$id")" = failed ] || die "$(state "$id")"
    grep -Eq 'there is none here|there is no .*/ppt-kernels-cuda.so' "$dir/jobs/$id/log" || die "other words"
    holds "$(spent acme) == 0"
fi
holds "$(reserved acme) == 0"

step "a job without GPUs is shown none"
rm "$dir"/seen/*
spec plain 0.2 20
id=$(submit plain)
wait_state "$id" "done"
[ -z "$(field "$id" gpus)" ] || die "it has GPUs: $(field "$id" gpus)"
[ "$(cut -d' ' -f2 "$dir"/seen/? | sort -u)" = none ] || die "$(cat "$dir"/seen/?)"
check_ledger
step "ok"
