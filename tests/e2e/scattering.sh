#!/usr/bin/env bash
# What configs/README.md promises of MNIST by scattering features, through the whole
# system: (3, 1e-6) and at least 98 %. An accuracy over 10,000 test images has a standard
# error of 0.13 points there; runs gave 98.4 %. A minute, most of it the import.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
mnist=$source/tests/data/mnist
ppt-data import idx --features scattering --name mnist-scattering --quiet \
    --train-x "$mnist/train-images-idx3-ubyte.gz" \
    --train-y "$mnist/train-labels-idx1-ubyte.gz" \
    --test-x "$mnist/t10k-images-idx3-ubyte.gz" \
    --test-y "$mnist/t10k-labels-idx1-ubyte.gz" \
    --nominal-count 60000 --nominal-test-count 10000 -o "$dir/ms.h5" >/dev/null
as officer ppt-budget dataset add "$dir/ms.manifest.yaml" -e 8 -d 1e-6 --public
name="mnist-scattering-eps3"
sed -E "s|^account:.*|account: acme/lab|" "$source/configs/jobs/$name.yaml" >"$dir/$name.yaml"
schedd_start
id=$(submit "$name")
wait_end "$id" 900
[ "$(state "$id")" = "done" ] || die "$(field "$id" reason)"
accuracy=$(field "$id" test_accuracy)
step "$name: test accuracy $accuracy, $(field "$id" wall_s) s," \
    "epsilon $(field "$id" epsilon_spent)"
holds "$accuracy >= 0.98" "98 %"
holds "$(field "$id" epsilon_spent) <= 3" "the price"
check_ledger
step "ok"
