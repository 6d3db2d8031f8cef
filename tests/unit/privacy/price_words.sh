#!/usr/bin/env bash
# usage: price_words.sh PPT_BUDGET
# What the calculator answers: several mechanisms, every accountant, values looked for.
set -u
budget=$1
failed=0

# says STATUS TEXT ARGUMENT...
says() {
    local status=$1 text=$2 got
    shift 2
    got=$("$budget" price "$@" 2>&1)
    local rc=$?
    if [ $rc -ne "$status" ] || [[ $got != *"$text"* ]]; then
        printf 'price %s\n  status %d, expected %d\n  no "%s" in: %s\n' "$*" $rc \
            "$status" "$text" "$got"
        failed=1
    fi
}

dpsgd=(-q 0.01 -t 6000 -d 1e-6)
said=subsampled-gaussian:noise_multiplier=1.1,sample_rate=0.01,count=6000
# the same plan, said in both ways; values of dp_accounting 0.6.0: rdp 4.7246, pld 4.3889
says 0 "epsilon           4.724450" -s 1.1 "${dpsgd[@]}"
says 0 "epsilon           4.724450" -m $said -d 1e-6
says 0 "ledger      4.724606" -m $said -d 1e-6 -a all
says 0 "pld         4.3888" -s 1.1 "${dpsgd[@]}" -a all
says 0 "gdp has no bound for subsampled-gaussian on a sample" -m $said -d 1e-6 -a all
says 0 "gdp         1.925354" -m gaussian:noise_multiplier=4,count=3 -d 1e-6 -a all
says 0 '"accountant": "pld", "epsilon": 4.3888' -s 1.1 "${dpsgd[@]}" -a pld --json
says 0 '"epsilon": null, "delta": 1e-06, "refused": "gdp has no bound' -m $said \
    -d 1e-6 -a all --json
says 0 '[{"mechanisms": [{"mechanism": "laplace", "scale": 9' -m laplace:scale=9 \
    -m gaussian:noise_multiplier=4 -d 1e-6 -a all --json
says 0 "replace-one" -m randomised-response:flip=0.5 -d 1e-6

# what is looked for is found, and rounded to the safe side
says 0 "noise multiplier  1.4712782" -e 3 "${dpsgd[@]}"
says 0 "COUNT" -m laplace:scale=50,count=? -e 1 -d 1e-6 -a all
says 0 "sample rate       0.00" -m subsampled-gaussian:noise_multiplier=1,sample_rate=? \
    -e 1 -d 1e-6 -t 1000
says 0 "accountant        pld" -m laplace -e 1 -d 1e-6 -a pld
says 0 "noise_multiplier" -m laplace:scale=50,count=10 \
    -m subsampled-gaussian:noise_multiplier=?,sample_rate=0.01,count=6000 -e 2 -d 1e-6 --json

# same ACCOUNTANT ARGUMENT... -- ARGUMENT...: both plans have one epsilon
same() {
    local accountant=$1 one=() a b
    shift
    while [ "$1" != -- ]; do
        one+=("$1")
        shift
    done
    shift
    a=$("$budget" price -d 1e-6 -a "$accountant" "${one[@]}" | grep '^epsilon')
    b=$("$budget" price -d 1e-6 -a "$accountant" "$@" | grep '^epsilon')
    if [ -z "$a" ] || [ "$a" != "$b" ]; then
        printf '%s: "%s" of %s\n  "%s" of %s\n' "$accountant" "$a" "${one[*]}" "$b" "$*"
        failed=1
    fi
}

# whole trainings: privacy.md's value by another program, and closed forms
says 0 "pld         5.396" -m balls-in-bins:noise_multiplier=.5,bins=100 -d 1e-5 -a all
says 0 "balls in bins without amplification" \
    -m balls-in-bins:noise_multiplier=.5,bins=100 -m laplace:scale=9 -d 1e-5 -a pld
says 0 "rdp         6.270406" -m balls-in-bins:noise_multiplier=.5,bins=100 -d 1e-5 -a all
same rdp -m balls-in-bins:noise_multiplier=.7,bins=59,epochs=15 -- \
    -m random-allocation:noise_multiplier=.7,bins=59,count=15
same gdp -m balls-in-bins:noise_multiplier=5,bins=9,epochs=4 -- \
    -m gaussian:noise_multiplier=5,count=4
same pld -m shuffled-batches:noise_multiplier=4,epochs=10 -- \
    -m gaussian:noise_multiplier=4,count=10
same rdp -m tree:noise_multiplier=10,steps=1000 -- -m gaussian:noise_multiplier=10,count=10
# the square root factorisation's columns: 1, 1/2, 3/8; squares sum to 89/64
same gdp -m banded:noise_multiplier=8,steps=9,bands=3 -- \
    -m gaussian:noise_multiplier=6.783986432,count=1
same pld -m banded-sampled:noise_multiplier=2,steps=100,bands=1,sample_rate=0.01 -- \
    -m subsampled-gaussian:noise_multiplier=2,sample_rate=0.01,count=100
same pld -m schedule:noise_multiplier=2,sample_rate=0.01,epochs=2,steps_per_epoch=50,decay=.5 \
    -- -m subsampled-gaussian:noise_multiplier=2,sample_rate=0.01,count=50 \
    -m subsampled-gaussian:noise_multiplier=1,sample_rate=0.01,count=50
same ledger -m adaptive-clipping:noise_multiplier=2,count_noise=9,sample_rate=0.01,count=50 \
    -- -m subsampled-gaussian:noise_multiplier=2,sample_rate=0.01,count=50
# 1/4 = 1/g^2 + 1/(2 * 9)^2
says 0 "gradient noise    2.0124612" -d 1e-6 \
    -m adaptive-clipping:noise_multiplier=2,count_noise=9,sample_rate=0.01
says 0 '"mechanism": "tree", "noise_multiplier": 10, "steps": 1000, "participations": 1' \
    -m tree:noise_multiplier=10,steps=1000 -d 1e-6 --json
says 0 "noise multiplier  0.717" -m balls-in-bins:bins=100 -e 2 -d 1e-5 -a pld
says 0 "gdp                -          -  gdp has no bound" -e 1 -a all -d 1e-5 \
    -m adaptive-clipping:count_noise=10,sample_rate=.01,count=1000
says 0 "noise multiplier  1.51305" -e 1 -d 1e-5 \
    -m adaptive-clipping:count_noise=.8,sample_rate=.01,count=1000

# users, and the best of several runs
same rdp -m gaussian:noise_multiplier=12 -r 3 -- -m gaussian:noise_multiplier=4
same ledger -m gaussian:noise_multiplier=12 -r 3 -a ledger -- -m gaussian:noise_multiplier=4 -a ledger
same pld -m gaussian:noise_multiplier=12 -r 3 -- -m gaussian:noise_multiplier=4
says 0 "gdp has no bound for users of several records" -s 1.1 "${dpsgd[@]}" -r 3 -a all
says 14 "sample_rate is 0.1, expected 1" -m laplace:scale=9,sample_rate=0.1 -r 3 -d 1e-6 -a pld
says 14 "65 records of a user" -s 1.1 "${dpsgd[@]}" -r 100 -a pld
says 0 '"records_per_user": 3' -s 2 "${dpsgd[@]}" -r 3 --json
says 0 "gdp has no bound for the best of several runs" -m gaussian:noise_multiplier=4 \
    -b poisson:mean=10 -d 1e-6 -a all
# by hand, order 21.5: 21.5/32 + ln 10/20.5 + 2 * 0.5053, converted; gamma = 0.1
says 0 "epsilon           2.2713" -m gaussian:noise_multiplier=4 -b negative-binomial:mean=10 -d 1e-6
says 2 "unknown law of the number of runs 'fixed'" -s 1 "${dpsgd[@]}" -b fixed:mean=3
says 2 "mean of poisson is missing" -s 1 "${dpsgd[@]}" -b poisson
says 14 "mean is 0.5" -s 1 "${dpsgd[@]}" -b negative-binomial:mean=0.5
says 14 "--records-per-user is 0" -s 1 "${dpsgd[@]}" -r 0
says 14 "--records-per-user is -1" -s 1 "${dpsgd[@]}" -r -1
says 14 "only noise can be looked for" -m laplace:scale=9,count=? -r 2 -e 1 -d 1e-6

# nonsense in whole trainings
tree=tree:noise_multiplier
says 2 "steps of tree is missing" -m $tree=1 -d 1e-6
says 2 "tree has no parameter 'rate'" -m $tree=1,rate=1 -d 1e-6
says 2 "'nan' is not a number" -m $tree=nan,steps=9 -d 1e-6
says 2 "steps of tree cannot be looked for" -m $tree=1,steps=? -e 1 -d 1e-6
says 2 "do not go with --mechanism tree" -m $tree=1,steps=9 -q 0.1 -d 1e-6
says 14 "noise_multiplier of tree is -1" -m $tree=-1,steps=9 -d 1e-6
says 14 "steps of tree is 1000000000000000000, expected" -m $tree=1,steps=1e18 -d 1e-6
says 14 "steps of tree is 1.5, expected a whole" -m $tree=1,steps=1.5 -d 1e-6
says 14 "participations 1 steps apart" -m banded:noise_multiplier=1,steps=9,bands=3,participations=2 \
    -d 1e-6
says 14 "sample_rate of banded-sampled is 1.5" -d 1e-6 \
    -m banded-sampled:noise_multiplier=1,steps=9,bands=1,sample_rate=1.5
says 14 "count_noise is 1" -d 1e-6 \
    -m adaptive-clipping:noise_multiplier=2,count_noise=1,sample_rate=0.1
says 14 "bins of balls-in-bins is 0" -m balls-in-bins:noise_multiplier=1,bins=0 -d 1e-6
says 14 "decay of schedule is 2" -d 1e-6 \
    -m schedule:noise_multiplier=1,sample_rate=.1,epochs=2,steps_per_epoch=9,decay=2

# nonsense: the parameter, its value, what is expected
says 2 "unknown accountant 'prv'" -s 1 -q 0.1 -d 1e-6 -a prv
says 2 "scale of laplace is missing" -m laplace -d 1e-6
says 2 "--noise-multiplier does not go with --mechanism laplace" -m laplace -s 1 -d 1e-6
says 2 "go with one mechanism only" -m laplace:scale=1 -m laplace:scale=2 -t 3 -d 1e-6
says 2 "--epsilon is missing" -m laplace:scale=? -d 1e-6
says 2 "2 values are looked for" -m laplace:scale=? -m laplace:scale=? -e 1 -d 1e-6
says 2 "0 values are looked for" -m laplace:scale=1 -m laplace:scale=1 -e 1 -d 1e-6
says 14 "scale is 0, expected a number in [0.001, 1e+09]" -m laplace:scale=0 -d 1e-6
says 14 "count of laplace is 1000000000000000000, expected a number in [1, 1000000000000]" \
    -m laplace:scale=1,count=1e18 -d 1e-6
says 14 "gdp has no bound" -m laplace:scale=1 -d 1e-6 -a gdp
says 14 "cannot add a price under replace_one to one under add_remove" \
    -m laplace:scale=1 -m randomised-response:flip=0.5 -d 1e-6
says 14 "one release alone costs more" -m laplace:scale=1,count=? -e 0.1 -d 1e-6
says 14 "no scale in [0.001, 1e+09] meets" -m laplace:scale=? -m laplace:scale=0.1 -e 1 \
    -d 1e-6
exit $failed
