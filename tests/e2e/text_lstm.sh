#!/usr/bin/env bash
# configs/jobs/text-lstm.yaml to its end, as it stands there, on made-up texts whose
# words are alike in both classes: their order is what differs.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4
# texts SEED N: "yes" and "no" among other words; the class is which comes first.
texts() {
    awk -v seed="$1" -v n="$2" 'BEGIN { srand(seed); split("the of and to in is it", w, " ")
        for (i = 0; i < n; i++) {
            line = ""; k = 2 + int(rand() * 3); one = int(rand() * (k - 1))
            two = one + 1 + int(rand() * (k - 1 - one))
            for (j = 0; j < k; j++)
                line = line (j ? " " : "") (j == one ? (i % 2 ? "yes" : "no") : \
                    j == two ? (i % 2 ? "no" : "yes") : w[1 + int(rand() * 7)])
            print i % 2 "\t" line } }'
}
texts 1 20000 >"$dir/train.tsv"
texts 2 2000 >"$dir/test.tsv"
ppt-data import text --train "$dir/train.tsv" --test "$dir/test.tsv" --length 20 --name notes \
    --nominal-count 20000 --nominal-test-count 2000 -o "$dir/notes.h5" >/dev/null 2>&1
as officer ppt-budget dataset add "$dir/notes.manifest.yaml" -e 8 -d 1e-6
as officer ppt-budget grant acme --epsilon 8 --delta 1e-6
as officer ppt-budget account create acme/research
as officer ppt-budget account create acme/research/language
as officer ppt-budget member add acme/research/language alice
schedd_start
cp "$PPT_SOURCE_DIR/configs/jobs/text-lstm.yaml" "$dir/text-lstm.yaml"
id=$(submit text-lstm)
wait_end "$id" 1700
[ "$(state "$id")" = "done" ] || die "$(field "$id" reason)"
step "test accuracy $(field "$id" test_accuracy), $(field "$id" wall_s) s"
holds "$(field "$id" epsilon_spent) <= 3"
holds "$(field "$id" test_accuracy) >= 0.9"
check_ledger
step "ok"
