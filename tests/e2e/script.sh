#!/usr/bin/env bash
# ppt-submit with a batch script: what its #PPT lines and the command line say reaches
# the job, or is refused with the line's number. sbatch stands in for itself here and
# tells what it was given; tests/slurm/allocation.sh runs such scripts.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$dir/bin"
cat >"$dir/bin/sbatch" <<END
#!/bin/bash
printf '%s\n' "\$@" >$dir/arguments
env | grep '^PPT_' | grep -v '_DIR=' | sort >$dir/environment
[ "\$*" = "\${*/refuse/}" ] || { echo "sbatch: error: no" >&2; exit 1; }
echo "\${ID:-17}"
exit "\${STATUS:-0}"
END
chmod 755 "$dir/bin/sbatch"
PATH=$dir/bin:$PATH
unset PPT_ACCOUNT PPT_CONFIG PPT_DATABASE
cd "$dir"
touch site.yaml

# script LINE...: with these leading lines
script() {
    printf '%s\n' '#!/bin/bash' "$@" 'ppt-submit --here job.yaml' >job.sh
}

# gives ARGUMENTS ENVIRONMENT COMMAND...: what sbatch got; lines as words
gives() {
    local arguments=$1 environment=$2 status=0
    shift 2
    rm -f arguments environment
    "$@" >out 2>err || die "$*: $(cat err)"
    [ "$(paste -sd' ' arguments)" = "$arguments" ] || die "$*: $(cat arguments)"
    [ "$(paste -sd' ' environment)" = "$environment" ] || die "$*: $(cat environment)"
}

# refused WORDS COMMAND...: before sbatch, with status 2
refused() {
    rm -f arguments
    expect 2 "$@"
    [ ! -e arguments ] || die "sbatch was called"
}

step "lines reach the job; the environment wins over them, the command line over both"
script '#SBATCH --nodes=2' '#PPT --account acme/lab # ours' "#PPT --config=site.yaml --database 'dbname=a b'"
gives "--parsable job.sh" "PPT_ACCOUNT=acme/lab PPT_CONFIG=$dir/site.yaml PPT_DATABASE=dbname=a b" \
    ppt-submit job.sh
[ "$(cat out)" = 17 ] || die "$(cat out)"
script '#PPT --account acme/lab'
gives "--parsable job.sh" "PPT_ACCOUNT=acme/other" env PPT_ACCOUNT=acme/other ppt-submit job.sh
gives "--parsable job.sh" "PPT_ACCOUNT=acme/lab" env PPT_ACCOUNT= ppt-submit job.sh
gives "--parsable job.sh" "PPT_ACCOUNT=acme" env PPT_ACCOUNT=acme/other ppt-submit -A acme job.sh

step "what follows the script is the script's"
gives "--parsable job.sh --account x -- --wait" "PPT_ACCOUNT=acme/lab" \
    ppt-submit job.sh --account x -- --wait

step "--json; --wait ends with the job's own status"
script '#PPT --json'
gives "--parsable job.sh" "" env "ID=18;far" ppt-submit job.sh
[ "$(cat out)" = '{"slurm_job_id": 18}' ] || die "$(cat out)"
script '#PPT --wait'
gives "--parsable --wait job.sh" "" ppt-submit job.sh
expect 12 "Slurm's job 17" env STATUS=12 ppt-submit job.sh
expect 19 "Slurm did not take job.sh: sbatch ended with status 1" ppt-submit job.sh refuse

step "faults name the line"
script '' '#PPT --cost 3'
refused "job.sh:3: unknown option '--cost'" ppt-submit job.sh
script '#PPT --account acme//lab'
refused 'job.sh:2: "acme//lab" is no account' ppt-submit job.sh
script '#PPT --help'
refused 'job.sh:2: --help is for the command line' ppt-submit job.sh
script '#PPT job.yaml'
refused 'job.sh:2: too many arguments' ppt-submit job.sh
for option in --here --dry-run '--after 12'; do
    script "#PPT $option"
    refused "job.sh:2: ${option% *} is for a job's own file" ppt-submit job.sh
    script
    # shellcheck disable=SC2086 # two words
    refused "${option% *} is for a job's own file" ppt-submit $option job.sh
done
script '#PPT --config nothing.yaml'
expect 5 "cannot find the configuration nothing.yaml" ppt-submit job.sh
script "#PPT --account 'acme"
expect 10 "job.sh:2: a quote without its end" ppt-submit job.sh

step "lines behind the first command are not read, and that is said"
script 'hostname' '#PPT --account acme/lab'
gives "--parsable job.sh" "" ppt-submit job.sh
grep -q 'job.sh:3: this #PPT line stands behind the first command' err || die "$(cat err)"

step "an --export that would lose them is refused"
script '#PPT --account acme/lab' '#SBATCH --nodes=1 --export=NONE'
refused 'job.sh:3: --export=NONE keeps PPT_ACCOUNT from the job' ppt-submit job.sh
script '#PPT --account acme/lab' '#SBATCH --export HOME,all'
gives "--parsable job.sh" "PPT_ACCOUNT=acme/lab" ppt-submit job.sh
script '#PPT --account acme/lab' '#SBATCH --export=HOME,PPT_ACCOUNT'
gives "--parsable job.sh" "PPT_ACCOUNT=acme/lab" ppt-submit job.sh
refused 'SBATCH_EXPORT: --export=HOME keeps' env SBATCH_EXPORT=HOME ppt-submit job.sh
script '#PPT --account acme/lab' '#SBATCH --export=NONE'
refused '--export=NONE keeps PPT_ACCOUNT from the job' env PPT_ACCOUNT=acme/other ppt-submit job.sh
script '#SBATCH --export=NONE'
refused '--export=NONE keeps PPT_ACCOUNT from the job' env PPT_ACCOUNT=acme/other ppt-submit job.sh
gives "--parsable job.sh" "" ppt-submit job.sh

step "without sbatch"
rm bin/sbatch
expect 19 "there is no program sbatch" env PATH="$build/scheduler:/nowhere" ppt-submit job.sh
step "ok"
