#!/usr/bin/env bash
# A federation walks: priced per user, reserved, run by ranks, settled; killed in the
# middle and started again; one model for any number of ranks.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8
schedd_start

# Records that are one per user, so that clients are real.
ppt-data import csv --train "$dir/private.csv" --test "$dir/private.csv" --header no \
    --nominal-count 1000 --nominal-test-count 1000 --unit user --name users \
    -o "$dir/users.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/users.manifest.yaml" -e 16 -d 1e-6
as officer ppt-budget account create people
as officer ppt-budget grant people --epsilon 24 --delta 1e-6 --unit user
as officer ppt-budget member add people alice

# federation NAME PRIVACY RANKS FEDERATION
federation() {
    local dataset=users account=people privacy=$2
    if [ "$privacy" = none ]; then
        dataset=public account=acme/lab
    else
        privacy="{unit: user, epsilon: $privacy, delta: 1e-6, clip_norm: 1}"
    fi
    cat >"$dir/$1.yaml" <<END
name: $1
account: $account
kind: fl
dataset: {name: $dataset, test: test}
model: ${model:-logistic}
privacy: $privacy
training: {epochs: ${epochs:-2}, batch_size: 10, learning_rate: 0.1, evaluation: public, checkpoint_every: 20}
resources: {ranks: $3, time_limit: 10m, memory: 1GiB}
federation: {$4}
END
}

step "a dry run prices the rounds"
federation private 2 2 "rounds: 150, partition: users, cohort: 100"
as alice ppt-submit --dry-run "$dir/private.yaml" >"$dir/dry"
grep -q '^privacy .*epsilon 2.00* at delta 1e-06, per user' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^sample rate  *0.1$' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^people (all data) .* yes' "$dir/dry" || die "$(cat "$dir/dry")"

step "it walks and is settled in full"
id=$(submit private)
wait_state "$id" "done"
[ "$(field "$id" steps_done)" = 150 ] || die "rounds: $(field "$id" steps_done)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
holds "$(field "$id" epsilon) <= 2 && $(field "$id" epsilon) > 1.998"
holds "$(spent people) >= 1.99 && $(reserved people) == 0"
holds "$(field "$id" test_accuracy) > 0.8"
[ -s "$(field "$id" model)" ] || die "no model"

step "users in a fixed order: passes are what is charged, and the dry run shows both"
federation ordered 2 2 "rounds: 25, partition: users, cohort: 100, selection: fixed_order, bands: 4"
as alice ppt-submit --dry-run "$dir/ordered.yaml" >"$dir/dry"
grep -q '^selection  *fixed_order: each pass asks' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^instead  *poisson: noise multiplier' "$dir/dry" || die "$(cat "$dir/dry")"
grep -q '^noise multiplier  *[0-9.]* in 4 bands' "$dir/dry" || die "$(cat "$dir/dry")"
ordered=$(submit ordered)
wait_state "$ordered" "done"
[ "$(field "$ordered" steps_done)" = 25 ] || die "rounds: $(field "$ordered" steps_done)"
holds "$(field "$ordered" epsilon_spent) == $(field "$ordered" epsilon)"
grep -q '"name": "pass", "mechanism": "gaussian"' "$dir/jobs/$ordered/plan.json" ||
    die "another price: $(cat "$dir/jobs/$ordered/plan.json")"
grep -q '"count": 3' "$dir/jobs/$ordered/plan.json" || die "not three passes"

step "cohorts of a fixed size are priced as a sample without replacement"
federation fixed 1 2 "rounds: 10, partition: users, cohort: 100, selection: fixed"
as alice ppt-submit --dry-run "$dir/fixed.yaml" >"$dir/dry"
grep -q '^selection  *fixed: so many clients' "$dir/dry" || die "$(cat "$dir/dry")"
fixed=$(submit fixed)
wait_state "$fixed" "done"
[ "$(field "$fixed" steps_done)" = 10 ] || die "rounds: $(field "$fixed" steps_done)"
holds "$(field "$fixed" epsilon_spent) == $(field "$fixed" epsilon)"
grep -q '"is_without_replacement": true' "$dir/jobs/$fixed/plan.json" ||
    die "another price: $(cat "$dir/jobs/$fixed/plan.json")"

step "its journal has all rounds, and no size of a cohort"
journal=$dir/jobs/$id/rounds.jsonl
[ "$(grep -c '"round": ' "$journal")" = 151 ] || die "$(tail -n 3 "$journal")"
head -n 1 "$journal" | grep -q '^{"attempt": 1, "round": 1, "epsilon": [0-9]' ||
    die "$(head -n 1 "$journal")"
tail -n 1 "$journal" | grep -q '"round": 150, "test_accuracy": [01]' || die "$(tail -n 1 "$journal")"
! grep -qE 'clients|survivors' "$journal" || die "a cohort's size is told"

step "it has a plot, and its log a table"
plot=$(field "$id" plot)
[ "$plot" = "$dir/jobs/$id/rounds.svg" ] || die "plot: $plot"
for line in accuracy epsilon; do
    grep -q "class=\"line $line\"" "$plot" || die "no $line: $(head -c 2000 "$plot")"
done
tail -n 1 "$plot" | grep -qx '</svg>' || die "$(tail -n 1 "$plot")"
as alice ppt-queue show "$id" | grep -q "^plot .*/rounds.svg$" || die "the plot is not shown"
grep -qE '^ppt-worker: +round accuracy +loss +epsilon +clients +dropped +late +sent$' "$dir/jobs/$id/log" ||
    die "$(cat "$dir/jobs/$id/log")"
grep -qE '^ppt-worker: +150/150 +[0-9.]+ % +- +[0-9.]+ +- +- +- +-$' "$dir/jobs/$id/log" ||
    die "$(cat "$dir/jobs/$id/log")"

step "interrupted in the middle: a second attempt goes on and pays no more than the price"
model="{preset: mlp, hidden: 512}" epochs=40 federation long 2 2 \
    "rounds: 3000, partition: users, cohort: 200"
id=$(submit long)
wait_metered "$id"
# shellcheck disable=SC2046 # a list
kill -TERM $(rank_pids "$id")
for _ in $(seq 600); do
    [ "$(field "$id" attempt)" != 2 ] || break
    sleep 0.1
done
[ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
as alice ppt-queue cancel "$id"
wait_end "$id"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) <= $(field "$id" epsilon)"

step "users with several records are priced by users, and only a federation trains on them"
seq 1000 | awk '{ print "user " int(sqrt($1 * 90)) }' >"$dir/names.txt"
ppt-data import csv --train "$dir/private.csv" --test "$dir/private.csv" --header no \
    --nominal-count 1000 --unit user --train-users "$dir/names.txt" --nominal-users 250 \
    --name crowd -o "$dir/crowd.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/crowd.manifest.yaml" -e 8 -d 1e-6
federation crowd 2 2 "rounds: 40, partition: users, cohort: 50"
sed -i 's/name: users/name: crowd/' "$dir/crowd.yaml"
as alice ppt-submit --dry-run "$dir/crowd.yaml" >"$dir/dry"
grep -q '^sample rate  *0.2$' "$dir/dry" || die "$(cat "$dir/dry")"
id=$(submit crowd)
wait_state "$id" "done"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 2"
sed -e 's/kind: fl/kind: dp/' -e '/^federation/d' "$dir/crowd.yaml" >"$dir/records.yaml"
expect 10 "would price the records of 'train' as if each were a user" \
    as alice ppt-submit --dry-run "$dir/records.yaml"

step "where each record is a user, a job of kind dp protects users"
cat >"$dir/single.yaml" <<END
name: single
account: people
kind: dp
dataset: {name: users, test: test}
model: logistic
privacy: {unit: user, epsilon: 0.5, delta: 1e-6, clip_norm: 1}
training: {steps: 30, batch_size: 50, learning_rate: 0.1}
resources: {ranks: 2, time_limit: 10m, memory: 1GiB}
END
id=$(submit single)
wait_state "$id" "done"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 0.5"

step "clients consent, withdraw, and the job ends when too few are left"
seq 300 | awk '{ print "consents user " $1 }' >"$dir/crowd.consents"
federation willing 2 2 "rounds: 40, partition: users, cohort: 50, consent: {min_clients: 200}"
sed -i 's/name: users/name: crowd/' "$dir/willing.yaml"
id=$(submit willing)
wait_state "$id" "done"
head -n 1 "$dir/jobs/$id/rounds.jsonl" | grep -q '"consent": "before", "registered": 300, "consenting": 300, "withdrawn": 0, "runs": true}' ||
    die "$(head -n 1 "$dir/jobs/$id/rounds.jsonl")"
seq 100 | awk '{ print "withdrawn user " $1 }' >>"$dir/crowd.consents"
id=$(submit willing)
wait_state "$id" failed
field "$id" reason | grep -q 'share_too_small: 200 of 300' || die "$(field "$id" reason)"
grep -q '"consenting": 200, "withdrawn": 100, "runs": false}' "$dir/jobs/$id/rounds.jsonl" ||
    die "$(cat "$dir/jobs/$id/rounds.jsonl")"

step "clients that make their own updates noisy pay by the pass"
for kind in gaussian privunit; do
    federation $kind 2 2 "rounds: 10, partition: users, cohort: 200, selection: dealt, local: $kind"
    id=$(submit $kind)
    wait_state "$id" "done"
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 2"
    grep -q '"name": "pass"' "$dir/jobs/$id/plan.json" || die "$(cat "$dir/jobs/$id/plan.json")"
    grep -q '"count": 2' "$dir/jobs/$id/plan.json" || die "not two passes"
done
sed -E 's|^account:.*|account: people|; s|^  name: users$|  name: crowd|; s|epsilon: 8|epsilon: 1|' \
    "$source/configs/jobs/users-steps.yaml" >"$dir/steps.yaml"
id=$(submit steps)
wait_state "$id" "done"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 1"
grep -q '"count": 4' "$dir/jobs/$id/plan.json" || die "not four passes"
sed 's/rounds: 10/rounds: 12/' "$dir/gaussian.yaml" >"$dir/cut.yaml"
expect 14 "expected a multiple of 5" as alice ppt-submit --dry-run "$dir/cut.yaml"

step "a clip norm follows the clients' norms, in the clear and by secure aggregation"
for aggregation in clear secagg; do
    federation quantile 1 2 "rounds: 15, partition: users, cohort: 100, aggregation: $aggregation"
    sed -i 's/clip_norm: 1}/clip_norm: 0.01, clipping: {mode: quantile, quantile: 0.5, rate: 0.5}}/' "$dir/quantile.yaml"
    id=$(submit quantile)
    wait_state "$id" "done"
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 1"
    norms=$(grep -o '"clip_norm": [0-9.e-]*' "$dir/jobs/$id/rounds.jsonl" | cut -d' ' -f2)
    holds "$(tail -n 1 <<<"$norms") > 2 * $(head -n 1 <<<"$norms")"
done

step "by secure aggregation"
federation secure 0.5 3 "rounds: 15, partition: users, cohort: 100, aggregation: secagg"
id=$(submit secure)
wait_state "$id" "done"
[ "$(field "$id" steps_done)" = 15 ] || die "rounds: $(field "$id" steps_done)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(field "$id" epsilon) <= 0.5"

step "a round that more clients leave than were planned for ends the job with the cause"
federation lossy none 2 "rounds: 5, partition: iid, clients: 100, cohort: 40, selection: fixed,
    aggregation: secagg, secagg: {max_norm: 1, vanish: 0.9}"
id=$(submit lossy)
wait_state "$id" failed
field "$id" reason | grep -qE 'below_threshold|cohort_too_small|not_connected' ||
    die "$(field "$id" reason)"

step "clients that are made up have no price per user"
federation sly 2 2 "rounds: 10, partition: iid, clients: 100, cohort: 10"
expect 10 "federation.partition: expected users" as alice ppt-submit "$dir/sly.yaml"

step "clients make models of their own, and the journal tells how well those do"
federation own none 2 \
    "rounds: 20, partition: shards, clients: 20, shards: 1, cohort: 10, personal: {kind: ditto}"
id=$(submit own)
wait_state "$id" "done"
line=$(tail -n 1 "$dir/jobs/$id/rounds.jsonl")
grep -q '"round": 20, "personal": "ditto", "clients": 20, "held_out": 200, "common": ' <<<"$line" ||
    die "$line"
means=$(grep -o '"mean": [0-9.]*' <<<"$line" | cut -d' ' -f2)
holds "$(sed -n 2p <<<"$means") >= $(sed -n 1p <<<"$means")"

step "devices by a trace beside the data set; another file than the spec's is refused"
{
    echo client,examples_per_s,bytes_per_s,from_s,to_s
    seq 0 99 | awk '{ print $1 ",1000,1000000," $1 % 2 * 1800 "," $1 % 2 * 1800 + 1800 }'
} >"$dir/phones.csv"
digest=$(sha256sum "$dir/phones.csv" | cut -d' ' -f1)
federation phones none 2 "rounds: 5, partition: iid, clients: 100, cohort: 10, selection: fixed,
    devices: {period: 1h, trace: {file: phones.csv, sha256: $digest}}"
id=$(submit phones)
wait_state "$id" "done"
echo "# another" >>"$dir/phones.csv"
id=$(submit phones)
wait_state "$id" failed
field "$id" reason | grep -q phones.csv || die "$(field "$id" reason)"

step "the shipped federations are priced, and the trace is the one that its job means"
for file in "$source"/configs/jobs/mnist-federation*.yaml "$source"/configs/jobs/users-*.yaml; do
    case $file in
    */users-*) to=people with=users ;;
    *) to=acme/lab with=public ;;
    esac
    sed -E "s|^account:.*|account: $to|; s|^  name: .*|  name: $with|" "$file" >"$dir/shipped.yaml"
    as alice ppt-submit --dry-run "$dir/shipped.yaml" >"$dir/dry" || die "$file: $(cat "$dir/dry")"
done
digest=$(sha256sum "$source/configs/jobs/mnist-phones.csv" | cut -d' ' -f1)
grep -q "sha256: $digest$" "$source/configs/jobs/mnist-federation-devices.yaml" || die "another trace: $digest"

step "clients that compress, and clients whose drift is corrected"
federation pressed none 2 \
    "rounds: 30, partition: iid, clients: 100, cohort: 20, compress: {kind: eden, bits: 1}, max_client_bytes: 100"
id=$(submit pressed)
wait_state "$id" "done"
holds "$(field "$id" test_accuracy) > 0.8"
federation corrected none 2 \
    "rounds: 30, partition: shards, clients: 20, shards: 1, cohort: 10, selection: fixed, correction: scaffold"
id=$(submit corrected)
wait_state "$id" "done"
holds "$(field "$id" test_accuracy) > 0.8"

step "the same model, byte for byte, from 1, 2, 4 and 8 ranks"
want=
for ranks in 1 2 4 8; do
    federation plain none $ranks \
        "rounds: 30, partition: dirichlet, clients: 50, cohort: 12, weighting: examples"
    echo "output: {model: plain.safetensors}" >>"$dir/plain.yaml"
    id=$(submit plain)
    wait_state "$id" "done"
    # the tensors, without the head that names the job
    path=$(field "$id" model)
    head=$(od -An -t u8 -N 8 "$path")
    sum=$(tail -c "+$((head + 9))" "$path" | sha256sum)
    head -n 1 "$dir/jobs/$id/rounds.jsonl" | grep -qE '"round": 1, "clients": [0-9]+, "bytes": [0-9]+}' ||
        die "$(head -n 1 "$dir/jobs/$id/rounds.jsonl")"
    [ -z "$want" ] || [ "$sum" = "$want" ] || die "$ranks ranks: $sum and not $want"
    want=$sum
    holds "$(field "$id" test_accuracy) > 0.8"
done
check_ledger
schedd_stop
step "ok"
