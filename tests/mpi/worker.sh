#!/usr/bin/env bash
# worker.sh PPT_WORKER PLAN_TOOL CASE: plans that real ranks run, and plans they refuse.
# shellcheck source=tests/mpi/lib.sh
. "$(dirname "$0")/lib.sh"
worker=$1 tool=$2 case=$3
dir=$(mktemp -d "${TMPDIR:-/tmp}/mpi-worker.XXXXXX")
trap 'rm -rf "$dir"' EXIT
job=$dir/job
n_true=1234 # the manifest says 1200

# setup STEPS PRIVACY EVALUATION [spoil|nan]: data where there is none, keys and the plan of a job in $job.
setup() {
    mkdir "$job"
    [ -e "$dir/planes.h5" ] || "$tool" data "$dir/planes.h5" $n_true ${4:+"$4"}
    "$tool" key "$dir/key"
    cat >"$dir/job.yaml" <<SPEC
name: planes
account: acme
kind: dp
dataset: {name: planes, train: train, test: test}
model: ${model_spec:=logistic}
privacy: $2
training: {steps: $1, batch_size: 60, learning_rate: 0.5, evaluation: $3}
resources: {ranks: ${ranks:=2}, cores_per_rank: ${cores:=1}}
output: {model: ${model:=model.h5}}
SPEC
    plan 1
}

plan() {
    "$tool" plan "$dir/job.yaml" "$dir/planes.h5" "$dir/key" "$job" "$1"
}

private='{epsilon: 8, delta: 1e-6, clip_norm: 1.0}'

# start RANKS: in the background; the pid of `timeout`, mpirun's parent, in $pid.
start() {
    "${mpi_command[@]}" "$1" "$worker" --plan "$job" --public-key "$dir/key.pub" >"$dir/log" 2>&1 &
    pid=$!
}

run() {
    mpi "$1" "$worker" --plan "$job" --public-key "$dir/key.pub" "${@:2}"
}

# Steps that the last line of progress speaks of; 0 before the first.
progress() {
    sed -n 's/.*step \([0-9]*\)\/.*/\1/p' "$dir/log" | tail -1 | grep . || echo 0
}

# wait_for_progress [TENTHS OF A SECOND]
wait_for_progress() {
    for _ in $(seq "${1:-300}"); do
        [ "$(progress)" -gt 0 ] && return
        sleep 0.1
    done
    die "no progress: $(cat "$dir/log")"
}

mpirun_of() {
    tr -d ' ' <"/proc/$1/task/$1/children"
}

# The processes of the ranks; mpirun may have others.
ranks_of() {
    local child mpirun children=()
    mpirun=$(mpirun_of "$1")
    read -ra children <"/proc/$mpirun/task/$mpirun/children" || true
    for child in "${children[@]}"; do
        [ "$(cat "/proc/$child/comm")" != ppt-worker ] || printf '%s ' "$child"
    done
}

report_says() {
    grep -qF "$1" "$job/report.json" || die "no $1 in $(cat "$job/report.json")"
}

trains() {
    setup 200 "$private" public
    PLAN_HOSTS=elsewhere,$(hostname) plan 1
    run 2 >"$dir/out" 2>"$dir/log" || die "$(cat "$dir/log")"
    [ ! -s "$dir/out" ] || die "something on stdout"
    report_says '"outcome": "done"'
    report_says '"n_steps": 200'
    grep -q '"name": "libmpi' "$job/environment.json" || die "no libraries recorded"
    report_says '"is_sealed": false'
    report_says '"n_hosts": 1'
    report_says "\"name\": \"$(hostname)\", \"n_ranks\": 2, \"ranks\": [{\"rank\": 0, \"cpus\": \""
    [ "$("$tool" used "$job" "$dir/key.pub")" = 200 ] || die "meter is not at 200"
    accuracy=$(sed 's/.*"test_accuracy": \([0-9.]*\).*/\1/' "$job/report.json")
    awk "BEGIN { exit !($accuracy > 0.9) }" || die "accuracy $accuracy"
    [ -s "$job/model.h5" ] || die "no model"
    # The true count is private: it stands in no file and no line that leaves the job.
    grep -aw $n_true "$dir/log" "$job"/* && die "the true count is told"
    grep -qi loss "$dir/log" && die "a private job tells its loss"
    grep -q 'epsilon' "$dir/log" || die "no epsilon in the progress"
}

# Ranks that have one core between them compute with one thread each, whatever the spec
# says, and the report says which core that was.
bound() {
    local core
    core=$(taskset -pc $$ | sed 's/.*: //; s/[,-].*//')
    cores=3
    mpi_command=(taskset -c "$core" "${mpi_command[@]:0:5}" --bind-to none "${mpi_command[@]:5}")
    setup 200 "$private" public
    mpi 2 "$worker" -v --plan "$job" --public-key "$dir/key.pub" >/dev/null 2>"$dir/log" ||
        die "$(cat "$dir/log")"
    report_says "[{\"rank\": 0, \"cpus\": \"$core\"}, {\"rank\": 1, \"cpus\": \"$core\"}]"
    grep -q 'rank 0 computes with 1 threads, not 3' "$dir/log" || die "$(cat "$dir/log")"
}

# A clip norm that starts far too small follows its quantile: with it fixed, so few steps
# learn next to nothing.
quantile() {
    setup 200 "${private/clip_norm: 1.0/clip_norm: 0.0001, clipping: quantile}" public
    run 2 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    [ "$("$tool" used "$job" "$dir/key.pub")" = 200 ] || die "meter is not at 200"
    accuracy=$(sed 's/.*"test_accuracy": \([0-9.]*\).*/\1/' "$job/report.json")
    awk "BEGIN { exit !($accuracy > 0.9) }" || die "accuracy $accuracy"
}

# On one node channels are sealed only where that is asked for.
sealed() {
    setup 200 "$private" public
    PPT_SEAL=always run 2 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    report_says '"is_sealed": true'
    accuracy=$(sed 's/.*"test_accuracy": \([0-9.]*\).*/\1/' "$job/report.json")
    awk "BEGIN { exit !($accuracy > 0.9) }" || die "accuracy $accuracy"
}

# Two nodes, as far as mpirun and PMIx can see: host names of their own on this machine.
two_nodes() {
    unshare -u true 2>/dev/null || {
        echo "skipped: no right to another host name"
        exit 77
    }
    cat >"$dir/agent" <<'END'
#!/usr/bin/env bash
# agent HOST COMMAND...: what ssh would do
host=$1
shift
exec unshare -u bash -c "hostname $host; $*"
END
    chmod 755 "$dir/agent"
    # shellcheck disable=SC2054 # commas for mpirun
    mpi_command=(timeout -k 5 90 mpirun --oversubscribe --host "node-a:$1,node-b:$1"
        --mca plm rsh --mca plm_rsh_agent "$dir/agent" --mca oob_tcp_if_include lo
        --mca btl tcp,self --mca btl_tcp_if_include lo -n)
}

spans_nodes() {
    two_nodes 1
    setup 200 "$private" public
    PPT_SEAL=never run 2 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    report_says '"is_sealed": true'
    report_says '"n_hosts": 2'
    report_says '{"name": "node-a", "n_ranks": 1, "ranks": [{"rank": 0, '
    report_says '{"name": "node-b", "n_ranks": 1, "ranks": [{"rank": 1, '
}

# Ranks of a node add up first, unless all shall be sealed: the same model to the bit,
# which is also that of one node.
near_first() {
    local seal
    model=model.safetensors
    for seal in one never always; do
        job=$dir/job$seal
        rm -f "$dir"/planes.* "$dir"/key*
        setup 20 none none
        sed -i "s/ranks: 2/ranks: 4/; s/batch_size: 60/batch_size: 1200, sum: fixed/
            s/model: logistic/model: {preset: mlp, hidden: 16}/" "$dir/job.yaml"
        plan 1
        [ "$seal" = one ] || two_nodes 2
        PPT_SEAL=$seal run 4 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
        tensors "$job/$model" >"$dir/tensors.$seal"
        cmp "$dir/tensors.one" "$dir/tensors.$seal" || die "$seal: other bits"
        [ "$seal" = one ] || report_says '"n_hosts": 2'
    done
}

# An error that one rank meets alone is told over sealed channels as well.
sealed_error() {
    export PPT_SEAL=always
    lonely_error
    report_says '"is_sealed": true'
}

public_job() {
    model=model.safetensors
    setup 200 none public
    run 2 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    grep -q 'loss' "$dir/log" || die "no loss in the progress"
    [ ! -e "$job/meter" ] || die "a public job has a meter"
    # Its format is the one that its name says: a header's length, then JSON.
    [ "$(dd if="$job/$model" bs=1 skip=8 count=15 status=none)" = '{"__metadata__"' ] ||
        die "no safetensors"
    # And by the format's own package, where Python has it.
    code=0
    sh "$PPT_SOURCE_DIR/tests/dev/python.sh" \
        "$PPT_SOURCE_DIR/tests/dev/read_safetensors.py" "$job/$model" \
        1.linear.weight 8 3 >"$dir/out" 2>&1 || code=$?
    [ "$code" = 0 ] || [ "$code" = 77 ] || die "$(cat "$dir/out")"
    report_says "$job/$model"
}

# The tensors of a safetensors file: what is behind its header.
tensors() {
    local len
    len=$(od -An -N8 -t u8 "$1")
    tail -c +$((len + 9)) "$1"
}

# In fixed point the model is the same bits for any number of ranks.
same_bits() {
    model=model.safetensors
    for ranks in 1 2 4 8; do
        job=$dir/job$ranks
        rm -f "$dir"/planes.* "$dir"/key*
        setup 20 none none
        sed -i "s/ranks: 2/ranks: $ranks/; s/batch_size: 60/batch_size: 1200, sum: fixed/
            s/model: logistic/model: {preset: mlp, hidden: 16}/" "$dir/job.yaml"
        plan 1
        run $ranks >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
        tensors "$job/$model" >"$dir/tensors.$ranks"
        [ "$(stat -c %s "$dir/tensors.$ranks")" = $(((8 * 16 + 16 + 16 * 3 + 3) * 4)) ] ||
            die "not the model's tensors"
        cmp "$dir/tensors.1" "$dir/tensors.$ranks" || die "$ranks ranks: other bits"
    done
}

# stop_by SIGNAL WHOM: to each rank, as a batch system does, or to mpirun. Leaves the step
# it stopped behind in $stopped_at.
stop_by() {
    local status=0
    start 2
    wait_for_progress
    if [ "$2" = ranks ]; then
        # shellcheck disable=SC2046
        kill -s "$1" $(ranks_of $pid)
    else
        kill -s "$1" "$(mpirun_of $pid)"
    fi
    wait $pid || status=$?
    [ $status = 75 ] || die "status $status after $1: $(cat "$dir/log")"
    report_says '"outcome": "interrupted"'
    [ -s "$job/checkpoint" ] || die "no checkpoint"
    [ "$(stat -c %a "$job/checkpoint")" = 600 ] || die "others may read the checkpoint"
    stopped_at=$(sed 's/.*"n_steps": \([0-9]*\).*/\1/' "$job/report.json")
    [ "$stopped_at" -gt 0 ] || die "stopped at step 0"
    [ "$("$tool" used "$job" "$dir/key.pub")" -ge "$stopped_at" ] ||
        die "the meter is below $stopped_at"
}

resumes() {
    mpi_command[3]=240 # to the end, on a machine that does other work too
    setup 400000 "$private" none
    stop_by TERM ranks
    first=$stopped_at
    plan 2
    stop_by USR1 mpirun
    [ "$stopped_at" -gt "$first" ] || die "resumed at $stopped_at, not behind $first"
    [ "$(stat -c %a "$job/checkpoint.key")" = 600 ] || die "others may read the key"
    plan 3
    mv "$job/checkpoint.key" "$dir/key-kept"
    expect 13 'checkpoint.key is not there' run 2
    head -c 32 /dev/urandom >"$job/checkpoint.key"
    chmod 600 "$job/checkpoint.key"
    expect 13 'sealed by another key' run 2
    mv "$dir/key-kept" "$job/checkpoint.key"
    # Where none is whole the job is refused. Where one before the newest is, the job ends
    # from there as if nothing had happened, but for the steps that were paid for twice.
    cp "$job/checkpoint.1" "$dir/good"
    for file in checkpoint checkpoint.1; do
        printf 'xxxxxxxx' | dd of="$job/$file" bs=1 seek=200 conv=notrunc 2>/dev/null
    done
    expect 13 'damaged checkpoint' run 2
    report_says '"outcome": "failed"'
    plan 4
    cp "$dir/good" "$job/checkpoint.1"
    run 2 2>"$dir/log" || die "$(cat "$dir/log")"
    grep -q 'the newest checkpoint is damaged' "$dir/log" || die "no word of the damage"
    report_says '"n_damaged_checkpoints": 1'
    report_says '"outcome": "done"'
    [ "$("$tool" used "$job" "$dir/key.pub")" -le 400000 ] || die "more than was reserved"
    if [ -e "$job/checkpoint" ] || [ -e "$job/checkpoint.key" ]; then
        die "a job that is done keeps its checkpoint or its key"
    fi
}

# The site's directory of keys: with the job's alone there is nothing to read.
keys_apart() {
    export PLAN_KEYS=$dir/keys
    mkdir -m 700 "$PLAN_KEYS"
    setup 400000 "$private" none
    stop_by TERM ranks
    first=$stopped_at
    [ ! -e "$job/checkpoint.key" ] || die "a key beside its checkpoint"
    set -- "$PLAN_KEYS"/7-*.key
    [ "$(stat -c '%a %s' "$1")" = '600 32' ] || die "not a key: $1"
    mv "$1" "$dir/away"
    plan 2
    expect 13 '.key is not there' run 2
    mv "$dir/away" "$1"
    plan 3
    stop_by TERM ranks
    [ "$stopped_at" -gt "$first" ] || die "resumed at $stopped_at, not behind $first"
}

# No file here has the key of whom it is handed to; without it nothing begins.
key_handed() {
    export PLAN_KEYS=handed
    head -c 32 /dev/urandom >"$dir/handed"
    head -c 31 "$dir/handed" >"$dir/short"
    setup 3000 "$private" none
    expect 13 'was not handed over' run 2
    expect 13 'a key of 32 bytes on standard input, found 0' run 2 --key-on-stdin </dev/null
    run 2 --key-on-stdin <"$dir/short" 2>"$dir/log" && die "31 bytes are enough"
    grep -qF 'found 31' "$dir/log" || die "$(cat "$dir/log")"
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
    run 2 --key-on-stdin <"$dir/handed" 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    [ ! -e "$job/checkpoint.key" ] || die "a key beside its checkpoint"
    expect 2 '--key-on-stdin goes with --plan' mpi 1 "$worker" --key-on-stdin --memory "$job"
}

killed() {
    local status=0 steps used began
    setup 2000000 "$private" none
    start 2
    wait_for_progress
    sleep 1.5
    began=$SECONDS
    kill -9 "$(ranks_of $pid | cut -d' ' -f"$((RANDOM % 2 + 1))")"
    wait $pid || status=$?
    [ $status != 0 ] || die "mpirun says that all is well"
    [ $((SECONDS - began)) -lt 20 ] || die "took $((SECONDS - began)) s to end"
    [ ! -e "$job/report.json" ] || die "a dead job wrote a report"
    steps=$(progress)
    used=$("$tool" used "$job" "$dir/key.pub")
    [ "$used" -ge "$steps" ] || die "meter $used is below the progress $steps"
}

refused_trust() {
    setup 50 "$private" none
    cp -r "$job" "$dir/kept"
    restore() { rm -rf "$job" && cp -r "$dir/kept" "$job"; }
    "$tool" key "$dir/other"
    expect 13 'signature' mpi 2 "$worker" --plan "$job" --public-key "$dir/other.pub"
    sed -i 's/"n_steps": 50/"n_steps": 5000/' "$job/plan.json"
    expect 13 'signature' run 2
    restore
    sed -i 's/"learning_rate":0.5/"learning_rate":0.6/; s/0\.5/0.6/' "$job/spec.json"
    expect 13 'spec.json' run 2
    restore
    sed -i 's/1200/9999/' "$job/manifest.yaml"
    expect 13 'manifest.yaml' run 2
    restore
    PLAN_UID=$(($(id -u) + 1)) plan 1
    expect 13 "for processes of user id $(($(id -u) + 1)), and this is user id $(id -u)" run 2
    PLAN_HOSTS=elsewhere,nowhere plan 1
    expect 13 "the plan is for elsewhere,nowhere, and this is $(hostname)" run 2
    restore
    mv "$job" "$dir/elsewhere"
    expect 13 'directory' mpi 2 "$worker" --plan "$dir/elsewhere" \
        --public-key "$dir/key.pub"
    mv "$dir/elsewhere" "$job"
    chmod 666 "$dir/key.pub"
    expect 13 'key.pub' run 2
    [ ! -e "$job/report.json" ] || die "a plan that is not trusted has a report"
}

refused_data() {
    setup 50 "$private" none
    cp "$dir/planes.h5" "$dir/kept.h5"
    printf 'x' | dd of="$dir/planes.h5" bs=1 seek=20000 conv=notrunc 2>/dev/null
    expect 15 'not those the manifest was made for' run 2
    report_says '"outcome": "failed"'
    report_says '"error_code": 15'
    truncate -s 30000 "$dir/planes.h5"
    expect 15 'not those the manifest was made for' run 2
    : >"$dir/planes.h5"
    expect 15 'not those the manifest was made for' run 2
    rm "$dir/planes.h5"
    expect 5 'planes.h5' run 2
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
}

# Memory is no encrypted disk. A job without GPUs has none to be confidential.
demands() {
    [ -w /dev/shm ] || {
        echo "skipped: no /dev/shm"
        exit 77
    }
    job=$(mktemp -d /dev/shm/mpi-worker.XXXXXX)
    trap 'rm -rf "$dir" "$job"' EXIT
    rmdir "$job"
    export PLAN_REQUIRE='disk gpu'
    setup 50 "$private" none
    expect 11 "the site demands an encrypted file system, and $job" run 2
    report_says '"outcome": "failed"'
    report_says '"error_code": 11'
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
    sed -i 's/"needs_encrypted_disk": true/"needs_encrypted_disk": false/' "$job/plan.json"
    expect 13 'signature' run 2
    PLAN_REQUIRE=gpu plan 2
    run 2 2>"$dir/log" || die "$(cat "$dir/log")"
    sed -i 's/ranks: 2/ranks: 2, gpus_per_rank: 1/' "$dir/job.yaml"
    if PLAN_REQUIRE=gpu plan 3 2>"$dir/log"; then
        expect 11 'the site demands GPUs in confidential mode' run 2
    fi
}

# Damage that was there when the manifest was made, so that its digest fits: HDF5 and the
# layout's own checks must find it, before anything is spent.
damaged_data() {
    setup 50 "$private" none
    cp "$dir/planes.h5" "$dir/kept.h5"
    again() { "$tool" digest "$dir/planes.h5" $n_true && plan "$1"; }
    truncate -s 30000 "$dir/planes.h5"
    again 1
    expect 15 'planes.h5' run 2
    : >"$dir/planes.h5"
    again 1
    expect 15 'planes.h5' run 2
    echo 'not HDF5' >"$dir/planes.h5"
    again 1
    expect 15 'not an HDF5 file' run 2
    for at in 0 9 13; do # the signature; sizes and versions of the superblock
        cp "$dir/kept.h5" "$dir/planes.h5"
        printf '\377' | dd of="$dir/planes.h5" bs=1 seek=$at conv=notrunc 2>/dev/null
        again 1
        expect 15 'planes.h5' run 2
    done
    cp "$dir/kept.h5" "$dir/planes.h5"
    again 1
    run 2 2>"$dir/log" || die "$(cat "$dir/log")"
    cp "$job/model.h5" "$dir/planes.h5" # HDF5, but no data set
    rm -r "$job" && mkdir "$job"
    again 1
    expect 15 'ppt_data_version' run 2
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
    report_says '"error_code": 15'
}

# One data set of two files; without one of them nothing runs, and with another in its
# place neither.
joined() {
    "$tool" data "$dir/part1.h5" 700
    "$tool" data "$dir/part2.h5" 534
    "$PPT_BUILD_DIR/worker/ppt-data" join -q -o "$dir/planes.h5" "$dir"/part?.h5 >/dev/null
    setup 200 "$private" public
    mv "$dir/part2.h5" "$dir/away.h5"
    expect 15 'its source part2.h5 is not there' run 2
    report_says '"error_code": 15'
    cp "$dir/part1.h5" "$dir/part2.h5"
    expect 15 'part2.h5: its contents are not those' run 2
    mv "$dir/away.h5" "$dir/part2.h5"
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
    plan 2
    run 2 >/dev/null 2>"$dir/log" || die "$(cat "$dir/log")"
    report_says '"outcome": "done"'
    accuracy=$(sed 's/.*"test_accuracy": \([0-9.]*\).*/\1/' "$job/report.json")
    awk "BEGIN { exit !($accuracy > 0.9) }" || die "accuracy $accuracy"
}

# The data set that a plan was made for, and another of other records.
wrong_schema() {
    setup 50 "$private" none
    "$tool" terabyte "$dir/other.h5"
    cp "$dir/other.h5" "$dir/planes.h5"
    "$tool" digest "$dir/planes.h5" $n_true && plan 1
    expect 15 'dimension 1 of a record of train is 1024, the manifest says 8' run 2
    report_says '"error_code": 15'
    [ "$("$tool" used "$job" "$dir/key.pub")" = 0 ] || die "a refused job has spent"
}

# pass_spec RANKS [RESOURCES [TRAINING]]: of a job of one pass, and more of its sections.
pass_spec() {
    cat >"$dir/job.yaml" <<SPEC
name: planes
account: acme
kind: dp
dataset: {name: planes, train: train}
model: logistic
privacy: $private
training: {epochs: 1, batch_size: 2048, learning_rate: 0.5${3:-}}
resources: {ranks: $1, cores_per_rank: 1${2:-}}
SPEC
}

# plan_pass N: one pass over N records of 4 KiB, most of which nobody has written.
plan_pass() {
    mkdir "$job"
    "$tool" terabyte "$dir/planes.h5" "$1"
    "$tool" key "$dir/key"
    [ "$(stat -c %b "$dir/planes.h5")" -lt 16384 ] || die "the file takes room"
    pass_spec 8 ', memory: 4GiB'
    plan 1
}

# A pass over 1 TiB, most of which was never written, by eight ranks: it is planned and
# under way, and no rank holds more than 512 MiB.
terabyte() {
    local status=0 rank peak
    mpi_command[3]=240 # on a machine that does other work too
    plan_pass $((1 << 28))
    start 8
    wait_for_progress 1500
    # shellcheck disable=SC2046
    for rank in $(ranks_of $pid); do
        peak=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$rank/status")
        echo "a rank holds $peak kB at most"
        [ "$peak" -lt $((512 << 10)) ] || die "more than 512 MiB"
    done
    # shellcheck disable=SC2046
    kill -s TERM $(ranks_of $pid)
    wait $pid || status=$?
    [ $status = 75 ] || die "status $status: $(cat "$dir/log")"
    report_says '"outcome": "interrupted"'
    grep -q 'step [0-9]*/131072' "$dir/log" || die "not one pass: $(cat "$dir/log")"
}

# The pass to its end, 17 minutes on two cores: PPT_PASS_RECORDS may say less than 2^28.
whole_pass() {
    local n=${PPT_PASS_RECORDS:-$((1 << 28))} status=0 rank own peak=0
    mpi_command[3]=43200
    plan_pass "$n"
    start 8
    while kill -0 $pid 2>/dev/null; do
        sleep 2
        for rank in $(ranks_of $pid 2>/dev/null || true); do
            own=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$rank/status" 2>/dev/null || true)
            peak=$((${own:-0} > peak ? own : peak))
        done
    done
    wait $pid || status=$?
    [ $status = 0 ] || die "status $status: $(cat "$dir/log")"
    tail -1 "$dir/log"
    echo "a rank held $peak kB at most"
    [ $peak -gt 0 ] || die "no rank was seen"
    [ $peak -lt $((512 << 10)) ] || die "more than 512 MiB"
    report_says '"outcome": "done"'
    report_says "\"n_steps\": $((n / 2048))"
    [ "$("$tool" used "$job" "$dir/key.pub")" = $((n / 2048)) ] || die "the meter tells other steps"
}

# footprint MODEL RANKS CORES: what --memory says of a rank beside the largest rank's peak.
footprint() {
    local said rank peak=0 own
    rm -rf "$job" "$dir/key" "$dir/key.pub"
    model_spec=$1 ranks=$2 cores=$3
    setup 1000000 "$private" none
    said=$("$worker" --memory "$job" | sed 's/.*"rank_bytes": \([0-9]*\).*/\1/')
    start "$ranks"
    wait_for_progress 600
    # shellcheck disable=SC2046
    for rank in $(ranks_of $pid); do
        own=$(sed -n 's/^VmHWM:[[:space:]]*\([0-9]*\) kB/\1/p' "/proc/$rank/status")
        peak=$((own > peak ? own : peak))
    done
    # shellcheck disable=SC2046
    kill -s TERM $(ranks_of $pid)
    wait $pid || true
    echo "$1, $2 ranks of $3 cores: a rank takes $peak kB, said were $((said >> 10)) kB"
    # A program with sanitizers takes more than any other.
    grep -q __asan_init "$worker" && return
    awk "BEGIN { exit !($peak * 1024 <= $said && $peak * 1024 >= 0.6 * $said) }" ||
        die "not between 60 % of what was said and all of it"
}

# The engine's formula and what a process takes beside it, against real ranks.
memory() {
    mpi_command=("${mpi_command[@]:0:5}" --bind-to none "${mpi_command[@]:5}")
    footprint logistic 2 1
    footprint '{preset: mlp, hidden: 65536}' 2 1
    footprint '{preset: mlp, hidden: 40000}' 1 2
    sed -i 's/"kind": "dp"/"kind": "fl"/' "$job/spec.json"
    expect 10 'spec.json' "$worker" --memory "$job"
    expect 5 'spec.json' "$worker" --memory "$dir"
    expect 2 '--memory stands alone' mpi 1 "$worker" --memory "$job" --plan "$job"
}

# Memory holds the half of 141 MiB that one of two ranks reads, but not both halves: their
# pass leaves next to nothing of the file in the page cache, and all of it where there is
# memory for both.
beside() {
    local bin mib left
    bin=$(dirname "$tool")
    npy 48000 3072 >"$dir/x.npy"
    npy 48000 >"$dir/y.npy"
    "$PPT_BUILD_DIR/worker/ppt-data" import npy --name planes --train-x "$dir/x.npy" \
        --train-y "$dir/y.npy" --nominal-count 48000 --quiet -o "$dir/planes.h5" >/dev/null
    sync "$dir/planes.h5"
    "$bin/cached_tool" drop "$dir/planes.h5" || {
        echo "skipped: this file system keeps what it is asked to give back"
        exit 77
    }
    mkdir "$job"
    "$tool" key "$dir/key"
    pass_spec 2 '' ', sampling: balls_in_bins'
    for mib in 150 400; do
        plan 1
        mpi 2 env CLAIM_MIB=$mib LD_PRELOAD="$bin/libclaim_memory.so" \
            ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 "$worker" \
            --plan "$job" --public-key "$dir/key.pub" >/dev/null 2>"$dir/log" ||
            die "$(cat "$dir/log")"
        rm -r "${job:?}"/*
        left=$("$bin/cached_tool" "$dir/planes.h5")
        echo "a machine of $mib MiB keeps $left MiB"
        case $mib in
        150) [ "$left" -lt 70 ] ;;
        400) [ "$left" -gt 130 ] ;;
        esac || die "$left MiB"
    done
}

# npy N [WIDTH]: zeros, then as many ones, in version 1 of the format
npy() {
    local header="{'descr': '|u1', 'fortran_order': False, 'shape': ($1,${2:+ $2}), }"
    # shellcheck disable=SC2059 # the length is a byte of the format
    printf "\\x93NUMPY\\x01\\x00$(printf '\\x%02x' ${#header})\\x00%s" "$header"
    head -c $(($1 * ${2:-1} / 2)) /dev/zero
    head -c $(($1 * ${2:-1} / 2)) /dev/zero | tr '\0' '\1'
}

# A NaN is met by the second rank only, in the middle of a step.
lonely_nan() {
    setup 2000 "$private" none nan
    expect 15 'a record of train holds a NaN or an infinity' run 2
    report_says '"error_code": 15'
    grep -aw $n_true "$dir/err" && die "the true count is told"
    return 0
}

other_world() {
    setup 50 "$private" none
    expect 18 'the plan is for 2 ranks and 3 were started' run 3
    expect 18 'the plan is for 2 ranks and 1 were started' run 1
    report_says '"error_code": 18'
}

# A bad label is met by the second rank only, in the middle of a step.
lonely_error() {
    local began=$SECONDS
    setup 2000 "$private" none spoil
    expect 15 'a label of train is outside 0..2' run 2
    [ $((SECONDS - began)) -lt 60 ] || die "took $((SECONDS - began)) s"
    report_says '"outcome": "failed"'
    report_says '"error_code": 15'
    grep -aw $n_true "$dir/err" && die "the true count is told"
    return 0
}

usage() {
    setup 50 "$private" none
    expect 2 '--plan DIR is missing' mpi 2 "$worker"
    [ "$(grep -c 'is missing' "$dir/err")" = 1 ] || die "every rank complains"
    expect 2 '--public-key FILE is missing' "$worker" --plan "$job"
    expect 3 'nowhere' mpi 1 "$worker" --plan "$job" --public-key "$dir/nowhere"
    "$worker" --help | grep -q 'Usage: ppt-worker' || die "no help"
}

"$case"
echo "$case: ok"
