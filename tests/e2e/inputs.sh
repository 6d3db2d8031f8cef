#!/usr/bin/env bash
# What each program says to nonsense, and with which exit status; its help and its
# version.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=4

# fits COMMAND...: its help is a screen of 24 lines and 80 columns
fits() {
    "$@" --help >"$dir/out" || die "$* --help: status $?"
    [ "$(wc -l <"$dir/out")" -le 24 ] || die "$* --help: $(wc -l <"$dir/out") lines"
    ! grep -nE '^.{81}' "$dir/out" || die "$* --help: longer than 80 columns"
    grep -q '^Usage: ' "$dir/out" || die "$* --help: no usage"
}

step "help and version"
for program in ppt-schedd ppt-submit ppt-queue ppt-budget; do
    fits $program
    $program --version | grep -qE "^$program \(ppt\) [0-9]+\.[0-9]+\.[0-9]+$" ||
        die "$program --version: $($program --version)"
done
for command in show history price create grant check "account create" "member add" \
    "dataset add" "dataset allow"; do
    # shellcheck disable=SC2086 # two words
    fits ppt-budget $command
done
for command in list show log wait cancel; do fits ppt-queue $command; done

step "every option stands in the manual"
# documented PAGE COMMAND...
documented() {
    local page=$source/scheduler/$1 word
    shift
    for word in $("$@" --completion-words); do
        grep -qE -- "(Fl|Cm) (-?${word#--}|.*\|.* ${word#--})( |\$)|Fl . , Fl -${word#--}" "$page" ||
            die "$word of $* is not in $page"
    done
}
documented ppt-schedd.8 ppt-schedd
documented ppt-submit.1 ppt-submit
documented ppt-queue.1 ppt-queue
for command in list show log wait cancel; do documented ppt-queue.1 ppt-queue $command; done
documented ppt-budget.1 ppt-budget
for command in show history price create grant check "account create" "member add" \
    "dataset add" "dataset allow"; do
    # shellcheck disable=SC2086 # two words
    documented ppt-budget.1 ppt-budget $command
done

step "completion"
# completes WORDS EXPECTED: the last of WORDS is being typed
completes() {
    local COMP_WORDS COMP_CWORD COMPREPLY=()
    read -ra COMP_WORDS <<<"$1"
    [[ $1 != *" " ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _ppt_complete "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" \
        "${COMP_WORDS[COMP_CWORD - 1]}"
    [ "${COMPREPLY[*]}" = "$2" ] || die "'$1' completes to '${COMPREPLY[*]}', not '$2'"
}
# shellcheck source=scheduler/ppt-completion.bash
. "$source/scheduler/ppt-completion.bash"
completes "ppt-queue ca" "cancel"
completes "ppt-queue list --st" "--state"
completes "ppt-budget pr" "price"
completes "ppt-budget price --no" "--noise-multiplier"
completes "ppt-budget account " "create --help"
completes "ppt-budget dataset add --pu" "--public"
completes "ppt-budget member r" "remove"
completes "ppt-submit --dr" "--dry-run"
completes "ppt-submit $dir/site-al" "$dir/site-alice.yaml"
completes "ppt-schedd --config $dir/site-of" "$dir/site-officer.yaml"

step "usage"
expect 2 "unknown option '--nonsense'" ppt-submit --nonsense
expect 2 "something is missing" ppt-submit
expect 2 "--database needs a value" ppt-submit a --database
expect 2 "unknown option" ppt-schedd --nonsense
expect 2 "too many arguments" ppt-schedd extra
expect 2 "unknown command 'nonsense'" ppt-queue nonsense
expect 2 "something is missing" ppt-queue show
expect 2 "'x' is not the number of a job" ppt-queue show x
expect 2 "'0' is not the number of a job" ppt-queue cancel 0
expect 2 "'-1' is not the number of a job" ppt-queue wait -- -1
expect 2 "unknown state 'nonsense'" ppt-queue list --state nonsense
expect 2 "a command is missing" ppt-budget
expect 2 "unknown command 'nonsense'" ppt-budget nonsense
expect 2 "'create' is expected after account" ppt-budget account delete acme
expect 2 "'add' is expected after dataset" ppt-budget dataset
expect 2 "unknown word 'lend' after member" ppt-budget member lend acme bob
expect 2 "--epsilon and --delta are both needed" ppt-budget grant acme --epsilon 1
expect 2 "'much' is not a number" ppt-budget grant acme --epsilon much --delta 1e-6
expect 2 "an account is missing" ppt-budget grant --epsilon 1 --delta 1e-6
expect 2 "unknown unit 'village'" ppt-budget grant acme -e 1 -d 1e-6 --unit village
expect 2 "--last is -3" ppt-budget history --last -3

step "the calculator"
price() {
    ppt-budget price "$@"
}
expect 2 "either --noise-multiplier or --epsilon" price -d 1e-6 -q 0.01
expect 2 "either --noise-multiplier or --epsilon" price -d 1e-6 -q 0.01 -s 1 -e 1
expect 2 "--delta is missing" price -q 0.01 -s 1
expect 2 "--sample-rate is missing" price -d 1e-6 -s 1
expect 2 "does not go with" price --mechanism gaussian -d 1e-6 -s 1 -q 0.01
expect 2 "unknown mechanism 'laplacian'" price --mechanism laplacian -d 1e-6 -s 1
expect 2 "'nan' is not a number" price -d 1e-6 -q 0.01 -s nan
expect 2 "'1.5' is not a whole number" price -d 1e-6 -q 0.01 -s 1 -t 1.5
expect 14 "--steps is 0" price -d 1e-6 -q 0.01 -s 1 -t 0
expect 14 "--delta is 0" price -d 0 -q 0.01 -s 1
expect 14 "--delta is 1" price -d 1 -q 0.01 -s 1
expect 14 "sample" price -d 1e-6 -q 1.5 -s 1
expect 14 "sample" price -d 1e-6 -q -0.1 -s 1
expect 14 "noise" price -d 1e-6 -q 0.01 -s 0
expect 14 "noise" price -d 1e-6 -q 0.01 -s -1
expect 14 "epsilon" price -d 1e-6 -q 0.01 -e 0
expect 14 "epsilon" price -d 1e-6 -q 0.01 -e -2
price -s 1.1 -q 0.01 -t 6000 -d 1e-6 --json >"$dir/out"
for key in mechanism accountant epsilon delta noise_multiplier sample_rate steps; do
    grep -q "\"$key\": " "$dir/out" || die "no $key in $(cat "$dir/out")"
done
noise=$(price -e 3 -q 0.01 -t 6000 -d 1e-6 --json |
    sed -E 's/.*"noise_multiplier": ([0-9.]+).*/\1/')
epsilon=$(price -s "$noise" -q 0.01 -t 6000 -d 1e-6 --json |
    sed -E 's/.*"epsilon": ([0-9.]+).*/\1/')
holds "$epsilon <= 3 && $epsilon > 2.9999"

step "another account than the file's: the option, else the variable, else the file"
spec elsewhere 1 100
sed -i 's|^account:.*|account: acme/elsewhere|' "$dir/elsewhere.yaml"
# account COMMAND...: whom a dry run would charge
account() {
    as alice env "$@" --dry-run --json "$dir/elsewhere.yaml" >"$dir/out" 2>"$dir/err" || true
    sed -nE 's/.*"name": "elsewhere", "account": "([^"]*)".*/\1/p' "$dir/out"
}
[ "$(account ppt-submit -A acme/lab)" = acme/lab ] || die "$(cat "$dir/err")"
[ "$(account PPT_ACCOUNT=acme/lab ppt-submit)" = acme/lab ] || die "$(cat "$dir/err")"
[ "$(account PPT_ACCOUNT=acme/nobody ppt-submit -A acme/lab)" = acme/lab ] || die "$(cat "$dir/err")"
[ -z "$(account PPT_ACCOUNT= ppt-submit)" ] || die "an empty one is one"
expect 10 '"acme//lab" is no account' as alice ppt-submit -A acme//lab "$dir/elsewhere.yaml"

step "files"
expect 5 "" as alice ppt-submit "$dir/nothing.yaml"
printf 'name: [\n' >"$dir/broken.yaml"
expect 10 "broken.yaml:" as alice ppt-submit "$dir/broken.yaml"
spec greedy 50 100
expect 11 "epsilon" as alice ppt-submit "$dir/greedy.yaml"
expect 5 "" ppt-submit --config "$dir/nothing.yaml" "$dir/greedy.yaml"
expect 10 "" ppt-schedd --config "$dir/broken.yaml"
expect 5 "" as officer ppt-budget dataset add "$dir/nothing.yaml" -e 1 -d 1e-6
expect 10 "" as officer ppt-budget dataset add "$dir/broken.yaml" -e 1 -d 1e-6
sed 's/^file:.*/file: nothing.h5/' "$dir/private.manifest.yaml" >"$dir/other.yaml"
expect 3 "cannot find the data file" as officer ppt-budget dataset add "$dir/other.yaml" \
    -e 1 -d 1e-6
expect 6 "" as owner ppt-schedd --generate-keys
expect 5 "no migrations" as owner ppt-schedd --migrate --sql "$dir/nothing"

step "the database"
expect 16 "" ppt-queue --database "host=$dir/nowhere dbname=ppt"
expect 16 "" ppt-schedd --config "$dir/site-scheduler.yaml" \
    --database "host=$dir/nowhere dbname=ppt"
expect 5 "no job 99" as alice ppt-queue show 99
expect 5 "no job 99" as alice ppt-queue cancel 99
expect 5 "" as officer ppt-budget grant nobody -e 1 -d 1e-6
expect 5 "" as officer ppt-budget account create nobody/below
expect 6 "" as officer ppt-budget account create acme
expect 14 "" as officer ppt-budget account create 'Ac me'
expect 6 "" as officer ppt-budget dataset add "$dir/private.manifest.yaml" -e 1 -d 1e-6
expect 14 "" as officer ppt-budget grant acme -e 0.0000001 -d 1e-6
expect 14 "" as officer ppt-budget grant acme -e 1 -d 2
spec lost 1 100
sed -i 's/name: private/name: nothing/' "$dir/lost.yaml"
expect 5 "nothing" as alice ppt-submit "$dir/lost.yaml"
expect 5 "nothing" as alice ppt-submit --dry-run "$dir/lost.yaml"

step "who may do what"
spec mine 1 100
expect 17 "" as bob ppt-submit "$dir/mine.yaml"
expect 17 "" as bob ppt-submit --dry-run "$dir/mine.yaml"
expect 17 "" as alice ppt-budget grant acme -e 100 -d 1e-6
expect 17 "" as alice ppt-budget account create acme/mine
expect 17 "" as alice ppt-budget member add acme alice
expect 17 "" as reader ppt-submit "$dir/mine.yaml"
expect 17 "" as scheduler ppt-budget grant acme -e 100 -d 1e-6
expect 17 "" as alice ppt-schedd
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 0 ] || die "a job was made"

step "many files: each for itself, a line each; the status is the first fault's"
printf '#!/bin/bash\n' >"$dir/job.sh"
printf 'sweep: {training.steps: [10, 20]}\n' | cat "$dir/mine.yaml" - |
    sed 's/steps: 100, //' >"$dir/grid.yaml"
expect 5 "nothing.yaml" as alice ppt-submit "$dir"/{mine,nothing,lost,broken,mine,grid}.yaml "$dir/job.sh"
for words in "broken.yaml:" "lost.yaml: " "grid.yaml is a sweep" "job.sh is a batch script"; do
    grep -qF "$words" "$dir/err" || die "no \"$words\" in: $(cat "$dir/err")"
done
[ "$(paste -sd ' ' "$dir/out")" = "$(sql "SELECT min(id) || ' - - - ' || max(id) || ' - -' FROM ppt.job")" ] ||
    die "$(cat "$dir/out")"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 2 ] || die "not two jobs"
as alice ppt-submit --json "$dir/mine.yaml" "$dir/lost.yaml" >"$dir/out" 2>/dev/null && die "status 0"
grep -qxE "\{\"file\": \"$dir/mine.yaml\", \"id\": [0-9]+\}" "$dir/out" || die "$(cat "$dir/out")"
grep -qE "^\{\"file\": \"$dir/lost.yaml\", \"status\": 5, \"error\": \".*nothing" "$dir/out" ||
    die "$(cat "$dir/out")"
first=$(sql 'SELECT min(id) FROM ppt.job')  # need not be 1: a group that fails takes numbers
as alice ppt-submit --after "$first" "$dir/mine.yaml" "$dir/mine.yaml" >"$dir/out"
[ "$(sql "SELECT count(*) FROM ppt.job_after WHERE job_id IN ($(paste -sd, "$dir/out"))")" = 2 ] ||
    die "not after"
expect 17 "ppt_submitter" as reader ppt-submit "$dir/mine.yaml" "$dir/mine.yaml"
expect 2 "--dry-run takes one file" as alice ppt-submit -n "$dir/mine.yaml" "$dir/mine.yaml"
expect 2 "--here takes one file" as alice ppt-submit --here "$dir/mine.yaml" "$dir/mine.yaml"
step "ok"
