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
