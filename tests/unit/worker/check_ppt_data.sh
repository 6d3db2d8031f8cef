#!/usr/bin/env bash
# check_ppt_data.sh PPT_DATA: the program itself, on MNIST and on what people type.
set -euo pipefail
data=$1
mnist=${PPT_SOURCE_DIR:?set by ctest}/tests/data/mnist
dir=$(mktemp -d "${TMPDIR:-/tmp}/check-ppt-data.XXXXXX")
trap 'rm -rf "$dir"' EXIT

die() {
    echo "FAILED: $*"
    exit 1
}

# expect STATUS WORDS ARGUMENTS...: the status and the words on stderr must fit.
expect() {
    local status=$1 words=$2 got=0
    shift 2
    "$data" "$@" >"$dir/out" 2>"$dir/err" || got=$?
    [ "$got" = "$status" ] || die "status $got, expected $status: $* $(cat "$dir/err")"
    [ -z "$words" ] || grep -qF -- "$words" "$dir/err" || die "no \"$words\" in: $(cat "$dir/err")"
}

digits=(import idx --name digits --nominal-count 60000 --nominal-test-count 10000
    --train-x "$mnist/train-images-idx3-ubyte.gz"
    --train-y "$mnist/train-labels-idx1-ubyte.gz"
    --test-x "$mnist/t10k-images-idx3-ubyte.gz"
    --test-y "$mnist/t10k-labels-idx1-ubyte.gz")

"$data" "${digits[@]}" -o "$dir/mnist.h5" >"$dir/out" 2>"$dir/err"
[ "$(cat "$dir/out")" = "$dir/mnist.manifest.yaml" ] || die "stdout: $(cat "$dir/out")"
grep -q '^name: "\?digits"\?$' "$dir/mnist.manifest.yaml" || die "the name is lost"
grep -q '10 classes' "$dir/err" || die "no word on where the classes came from"
expect 6 'exists already' "${digits[@]}" -o "$dir/mnist.h5"
before=$(sha256sum "$dir/mnist.h5" "$dir/mnist.manifest.yaml")
sleep 1.1 # nothing in the files may depend on the clock
expect 0 '' "${digits[@]}" -o "$dir/mnist.h5" --force
[ "$before" = "$(sha256sum "$dir/mnist.h5" "$dir/mnist.manifest.yaml")" ] ||
    die "the same import gave other bytes"

expect 0 'private' info "$dir/mnist.h5"
grep -Eq '^train +60000 +uint8 +28 x 28 +10 +uint8 +contiguous' "$dir/out" ||
    die "info: $(cat "$dir/out")"
expect 0 'private' info "$dir/mnist.h5" --json
grep -qF '"n_records": 60000' "$dir/out" || die "json: $(cat "$dir/out")"

# One data set of two: as the two, and never without one of them.
for n in 1 2; do
    printf '%s,1,0\n2,3,1\n' "$n" >"$dir/part.csv"
    expect 0 '' import csv --train "$dir/part.csv" --nominal-count 2 -o "$dir/part$n.h5"
done
expect 2 '-o ALL.h5 is missing' join "$dir/part1.h5"
expect 0 'part2.h5' join -o "$dir/all.h5" "$dir/part1.h5" "$dir/part2.h5"
grep -q 'nominal_count: 4$' "$dir/all.manifest.yaml" || die "join: $(cat "$dir/all.manifest.yaml")"
expect 6 'exists already' join -o "$dir/all.h5" "$dir/part1.h5"
expect 15 'holds the same as' join --force -o "$dir/all.h5" "$dir/part1.h5" "$dir/part1.h5"
expect 0 '' verify "$dir/all.h5"
expect 0 'private' info "$dir/all.h5"
grep -Eq '^train +4 +float32 +2 +2 +uint8 +joined' "$dir/out" || die "info: $(cat "$dir/out")"
mv "$dir/part2.h5" "$dir/away.h5"
expect 15 'its source part2.h5 is not there' verify "$dir/all.h5"
expect 15 'its source part2.h5 is not there' info "$dir/all.h5"

expect 0 '' verify "$dir/mnist.h5"
printf 'x' | dd of="$dir/mnist.h5" bs=1 seek=30000000 conv=notrunc 2>/dev/null
expect 15 'not those the manifest was made for' verify "$dir/mnist.h5"
rm "$dir/mnist.manifest.yaml"
expect 5 'mnist.manifest.yaml' verify "$dir/mnist.h5"
expect 15 'not an HDF5 file' info "$mnist/README.md"
expect 5 'nowhere' info "$dir/nowhere"

printf 'age,income,class\n31,1.5,0\n45,2.5,1\n' >"$dir/people.csv"
expect 2 '--nominal-count is missing' import csv --train "$dir/people.csv" -o "$dir/p.h5"
grep -q 'private' "$dir/err" || die "no word on why the count must be stated"
expect 2 '--train FILE is missing' import csv --nominal-count 2 -o "$dir/p.h5"
expect 2 '-o FILE.h5 is missing' import csv --train "$dir/people.csv" --nominal-count 2
expect 2 'no column "sex"' import csv --train "$dir/people.csv" --nominal-count 2 \
    --label sex -o "$dir/p.h5"
expect 2 '--header is "maybe"' import csv --train "$dir/people.csv" --nominal-count 2 \
    --header maybe -o "$dir/p.h5"
expect 2 '--unit is "dog"' import csv --train "$dir/people.csv" --nominal-count 2 \
    --unit dog -o "$dir/p.h5"
expect 2 'nominal count must be 1 or more' import csv --train "$dir/people.csv" \
    --nominal-count 0 -o "$dir/p.h5"
expect 0 'far from the true one' import csv --train "$dir/people.csv" \
    --nominal-count 1000 -o "$dir/p.h5"
grep -q '1000' "$dir/p.manifest.yaml" || die "the nominal count is lost"
grep -qw '2' <(grep -i count "$dir/p.manifest.yaml") && die "the true count is told"
expect 0 '' verify "$dir/p.h5"

printf 'ada\nbob\n' >"$dir/users.txt"
many=(import csv --train "$dir/people.csv" --nominal-count 2 -o "$dir/u.h5")
expect 2 'belong together' "${many[@]}" --unit user --train-users "$dir/users.txt"
expect 2 'is for --unit user' "${many[@]}" --train-users "$dir/users.txt" --nominal-users 2
expect 2 '--nominal-users is 3' "${many[@]}" --unit user --train-users "$dir/users.txt" --nominal-users 3
expect 5 'nowhere' "${many[@]}" --unit user --train-users "$dir/nowhere" --nominal-users 1
expect 0 '' "${many[@]}" --unit user --train-users "$dir/users.txt" --nominal-users 1
grep -q 'nominal_users: 1' "$dir/u.manifest.yaml" || die "the nominal users are lost"
"$data" info --json "$dir/u.h5" 2>/dev/null | grep -q '"has_users": true' || die "no users"
expect 0 '' verify "$dir/u.h5"

printf '1\thi a@b.cd\n0\t+41 44 668 18 00\n' >"$dir/notes.tsv"
text=(import text --train "$dir/notes.tsv" --nominal-count 2 -o "$dir/n.h5")
expect 2 '--length is 0' "${text[@]}"
expect 2 '--redact is "names"' "${text[@]}" --length 8 --redact names
expect 5 'nowhere' "${text[@]}" --length 8 --tokeniser "$dir/nowhere"
expect 10 'notes.tsv:1: expected letters that stand for bytes' "${text[@]}" --length 8 --tokeniser "$dir/notes.tsv"
expect 0 'redacted: mail 1 times' "${text[@]}" --length 8 --redact mail,phone
grep -q 'redacted: phone 1 times' "$dir/err" || die "no word on phones"
grep -q 'n_tokens: 256' "$dir/n.manifest.yaml" || die "the vocabulary is lost"
expect 0 '' verify "$dir/n.h5"

# npy TYPE SHAPE BYTES >FILE: version 1, its bytes as printf has them
npy() {
    local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
    # shellcheck disable=SC2059 # the length is a byte of the format
    printf "\\x93NUMPY\\x01\\x00$(printf '\\x%02x' ${#header})\\x00%s" "$header"
    # shellcheck disable=SC2059
    printf "$3"
}
npy '<i4' '2, 3' '\x01\0\0\0\x2c\x01\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\0\0\0\0' >"$dir/ids.npy"
npy '|u1' '2,' '\x01\0' >"$dir/y.npy"
ids=(import npy --train-x "$dir/ids.npy" --train-y "$dir/y.npy" --nominal-count 2 -o "$dir/i.h5")
expect 15 '--tokens for ids of tokens' "${ids[@]}"
expect 2 '--tokens is 1' "${ids[@]}" --tokens 1
expect 15 'record 0 of split train holds a token outside 0..299' "${ids[@]}" --tokens 300
expect 0 '' "${ids[@]}" --tokens 301
grep -q 'n_tokens: 301' "$dir/i.manifest.yaml" || die "the vocabulary is lost"
grep -q 'x_type: int32' "$dir/i.manifest.yaml" || die "the type of ids is lost"
expect 0 '' verify "$dir/i.h5"

expect 2 'unknown format "parquet"' import parquet
expect 2 'import what?' import
expect 2 'unknown command "export"' export
"$data" --help | grep -q '^Usage: ppt-data' || die "no help"
for format in idx npy csv text; do
    [ "$("$data" import $format --help | wc -l)" -le 25 ] || die "help of $format is long"
done
"$data" --version | grep -q '^ppt-data [0-9]' || die "no version"
echo "ok"
