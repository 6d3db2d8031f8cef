#!/usr/bin/env bash
# MNIST, the small convolutional network of configs/jobs with (3, 1e-6), cut to 60 steps,
# on 4 nodes x 2 ranks: by sbatch, and in a user's own allocation by ppt-submit --here and
# by srun ppt-worker --submit, it has the price of 8 ranks by mpirun and, within noise,
# the accuracy.
#
# Noise: 48 runs by mpirun had a mean of 0.923 and a standard deviation of 0.0034, of which
# 0.0044 is an upper bound at 99 %. So two runs differ by a standard deviation of 0.0048
# (at most 0.0063), no two of the 48 by more than 0.0201, and the tolerance of 0.03 is
# passed by chance in one of the three comparisons with a probability of 2e-9 (at most
# 6e-6). A job that made half of the steps would have 0.865 and be noticed but for 1 in
# 1e8 (at most 1e-5).
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
tolerance=0.03
mnist=$source/tests/data/mnist
[ -s "$mnist/train-images-idx3-ubyte.gz" ] || {
    echo "skipped: there is no $mnist"
    exit 77
}

# agrees FORM ID: with the job by mpirun
agrees() {
    local form=$1 id=$2 key accuracy
    [ "$(state "$id")" = "done" ] || die "$form: $(state "$id"), $(field "$id" reason)"
    for key in epsilon epsilon_spent delta noise_multiplier sample_rate steps_done; do
        [ "$(field "$id" $key)" = "$(field "$by_mpirun" $key)" ] ||
            die "$form: $key $(field "$id" $key), by mpirun $(field "$by_mpirun" $key)"
    done
    accuracy=$(field "$id" test_accuracy)
    step "$form: test accuracy $accuracy, epsilon $(field "$id" epsilon_spent)," \
        "$(field "$id" wall_s) s"
    holds "($accuracy - $(field "$by_mpirun" test_accuracy))^2 <= $tolerance^2" "$form"
    grep -q '"is_sealed": true' "$(field "$id" directory)/report.json" ||
        die "$form: its channels are not sealed"
}

# ran_on_all SLURM_ID
ran_on_all() {
    squeue_says "4 8 COMPLETED" -j "$1" -o '%D %C %T'
}

# by_sbatch, by_script COMMAND...: run the job once; $id (empty: never filed), $slurm_id
by_sbatch() {
    id=$(submit mnist)
    wait_end "$id"
    slurm_id=$(field "$id" slurm_job_id)
}

by_script() {
    rm -f "$dir/alice/id"
    cat >"$dir/alice/job.sh" <<END
#!/bin/bash
#SBATCH --nodes=4 --ntasks-per-node=2 --chdir=$dir/alice --output=$dir/alice/job.log
#PPT --config $dir/site-alice.yaml --wait
$* >$dir/alice/id
END
    slurm_id=$("$rig" run "$cluster" timeout 150 ppt-submit "$dir/alice/job.sh") || true
    id=$(cat "$dir/alice/id")
    [ -z "$id" ] || wait_end "$id"
}

# form WORDS COMMAND...: runs it so, and compares
form() {
    local words=$1
    shift
    "$@"
    [ -n "$id" ] || die "$words: $(cat "$dir/alice/job.log")"
    agrees "$words" "$id"
    ran_on_all "$slurm_id"
}

site cores=8 grace=12 restarts=0
mkdir "$dir/alice"
ppt-data import idx --name mnist --nominal-count 60000 --nominal-test-count 10000 \
    --train-x "$mnist/train-images-idx3-ubyte.gz" \
    --train-y "$mnist/train-labels-idx1-ubyte.gz" \
    --test-x "$mnist/t10k-images-idx3-ubyte.gz" \
    --test-y "$mnist/t10k-labels-idx1-ubyte.gz" -o "$dir/mnist.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/mnist.manifest.yaml" -e 100 -d 1e-6
as officer ppt-budget dataset allow mnist
as officer ppt-budget grant acme --epsilon 100 --delta 1e-6
sed -E 's|^account:.*|account: acme/lab|; s|^( *)ranks:.*|\1ranks: 8|
        s|^( *)epochs:.*|\1steps: 60|' "$source/configs/jobs/mnist-cnn-eps3.yaml" >"$dir/mnist.yaml"
cluster_start

schedd_start
by_mpirun=$(submit mnist)
wait_state "$by_mpirun" "done"
step "by mpirun: test accuracy $(field "$by_mpirun" test_accuracy)," \
    "epsilon $(field "$by_mpirun" epsilon_spent), $(field "$by_mpirun" wall_s) s"
holds "$(field "$by_mpirun" test_accuracy) > 0.9"
schedd_stop

sed -i 's|^launcher: {kind: mpirun, |launcher: {kind: sbatch, arguments: [--nodes=4, --ntasks-per-node=2], |' \
    "$dir/site-scheduler.yaml" "$dir/site-alice.yaml"
schedd_start
form "by sbatch" by_sbatch
form "by ppt-submit --here" by_script ppt-submit --here "$dir/mnist.yaml"
form "by srun ppt-worker --submit" by_script srun ppt-worker --submit "$dir/mnist.yaml"
check_ledger
step "ok"
