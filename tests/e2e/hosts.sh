#!/usr/bin/env bash
# Jobs by mpirun over three hosts (host names of their own on this machine, reached by a
# false ssh): each host's cores are counted, ranks across hosts are sealed, stopping
# reaches them all, and a mpirun that is killed leaves nothing behind that could still
# spend.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
unshare -u true 2>/dev/null || {
    echo "skipped: no right to another host name"
    exit 77
}
site grace=5 restarts=0
cat >"$dir/agent" <<END
#!/usr/bin/env bash
# agent HOST COMMAND...: what ssh would do, if the host is up
[ ! -e "$dir/down-\$1" ] || exit 255
echo "\$*" >>"$dir/agent.calls"
host=\$1
shift
exec unshare -u bash -c "hostname \$host; \$*"
END
chmod 755 "$dir/agent"
hosts='[{name: node-a, cores: 2, memory: 2GiB, gpus: 1}'
hosts+=', {name: node-b, cores: 2, memory: 2GiB, gpus: 1}'
hosts+=', {name: node-c, cores: 1, memory: 4GiB}]'
# On one machine MPI would find these hosts by its shared memory and others by their names.
mca='[--mca, plm, rsh, --mca, oob_tcp_if_include, lo, --mca, btl, "tcp,self", --mca, btl_tcp_if_include, lo]'
sed -i "s|^launcher: {|launcher: {hosts: $hosts, agent: $dir/agent, arguments: $mca, |" \
    "$dir/site-scheduler.yaml"
schedd_start

hosts_of() {
    tr '\n' ';' <"$dir/jobs/$1/hosts"
}

# ranks NAME N: of that spec
ranks() {
    sed -i "s/ranks: [0-9]*/ranks: $2/" "$dir/$1.yaml"
}

step "a job on one host, and one over two, which is sealed"
spec two 0.5 50
id=$(submit two)
wait_state "$id" "done"
[ "$(hosts_of "$id")" = "node-a slots=2;" ] || die "$(hosts_of "$id")"
grep -q '"is_sealed": false' "$dir/jobs/$id/report.json" || die "sealed on one host"
spec four 0.5 50
ranks four 4
id=$(submit four)
four=$id
wait_state "$id" "done"
[ "$(hosts_of "$id")" = "node-a slots=2;node-b slots=2;" ] || die "$(hosts_of "$id")"
grep -q '"is_sealed": true' "$dir/jobs/$id/report.json" || die "not sealed"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "what no host can hold is refused with words"
ranks two 1
sed -i 's/time_limit/cores_per_rank: 3, time_limit/' "$dir/two.yaml"
id=$(submit two)
wait_end "$id"
field "$id" reason |
    grep -q 'the 3 hosts cannot hold so many: write a smaller memory or cores_per_rank' ||
    die "$(field "$id" reason)"
spec large 0.5 50
ranks large 6
id=$(submit large)
wait_end "$id"
field "$id" reason | grep -q 'asks for 6 cores .* has 5: write ranks: 5$' || die "$(field "$id" reason)"
ranks large 2
sed -i 's/memory: 1GiB/memory: 9GiB/' "$dir/large.yaml"
id=$(submit large)
wait_end "$id"
field "$id" reason | grep -q 'has 8.*GiB: write memory: 8192MiB$' || die "$(field "$id" reason)"

step "a host that cannot be reached: no rank has begun, so it is tried again and loses nothing"
touch "$dir/down-node-a"
spec away 0.3 20
id=$(submit away)
wait_state "$id" running
sleep 3
[ "$(stat -c %s "$dir/jobs/$id/meter")" = 0 ] || die "it has begun"
rm "$dir/down-node-a"
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "GPUs count: two hosts for two ranks, though one has the cores; three have no room"
spec gpus 0.3 20
sed -i 's/time_limit/gpus_per_rank: 1, time_limit/' "$dir/gpus.yaml"
before=$(spent acme)
id=$(submit gpus)
wait_end "$id"
[ "$(hosts_of "$id")" = "node-a slots=1;node-b slots=1;" ] || die "$(hosts_of "$id")"
if [ ! -e /dev/nvidia0 ]; then # they found none there
    [ "$(state "$id")" = failed ] || die "$(state "$id")"
    holds "$(spent acme) == $before"
fi
# As a report tells it where there are some.
sed -E "s/\"job_id\": $four/\"job_id\": $id/; s/\"attempt\": 1/\"attempt\": $(field "$id" attempt)/
    s/(\"rank\": [0-9]+, \"cpus\": \"[^\"]*\")/\1, \"gpu\": 1/g" \
    "$dir/jobs/$four/report.json" >"$dir/jobs/$id/report.json"
as reader ppt-queue show "$id" >"$dir/out"
grep -qx "GPUs  *rank 0 on node-a, GPU 1" "$dir/out" || die "$(cat "$dir/out")"
as reader ppt-queue show "$id" --json |
    grep -q '"gpus": 2, "gpu_places": \[{"rank": 0, "host": "node-a", "gpu": 1}, ' ||
    die "$(as reader ppt-queue show "$id" --json)"
ranks gpus 3
id=$(submit gpus)
wait_state "$id" refused
[[ $(field "$id" reason) = *"with 2 GPUs, has room for 2 of them: write ranks: 2"* ]] ||
    die "$(field "$id" reason)"

step "side by side on hosts of their own; a third waits though cores are free"
heavy slow 0.4 300000
first=$(submit slow)
wait_metered "$first"
second=$(submit slow)
wait_metered "$second"
[ "$(hosts_of "$first")$(hosts_of "$second")" = "node-a slots=2;node-b slots=2;" ] ||
    die "$(hosts_of "$first") $(hosts_of "$second")"
spec wide 0.3 50
sed -i 's/ranks: 2/ranks: 1, cores_per_rank: 2/' "$dir/wide.yaml"
third=$(submit wide)
wait_state "$third" admitted
spec one 0.3 50
ranks one 1
id=$(submit one)
wait_state "$id" "done"
[ "$(hosts_of "$id")" = "node-c slots=1;" ] || die "$(hosts_of "$id")"
[ "$(state "$third")" = admitted ] || die "the wide one is $(state "$third")"

step "cancelled: all ranks stop, paid by the meter; the one that waited gets its host"
as alice ppt-queue cancel "$first" 2>/dev/null
wait_state "$first" cancelled 60
holds "$(field "$first" epsilon_spent) > 0 && $(field "$first" epsilon_spent) < 0.39"
[ -s "$dir/jobs/$first/checkpoint" ] || die "no checkpoint"
wait_state "$third" "done"
[ "$(hosts_of "$third")" = "node-a slots=1;" ] || die "$(hosts_of "$third")"

step "the scheduler is killed: the next one knows who holds which host"
schedd_kill
schedd_start
third=$(submit wide)
wait_state "$third" "done"
[ "$(hosts_of "$third")" = "node-a slots=1;" ] || die "$(hosts_of "$third")"
[ "$(state "$second")" = running ] || die "the other: $(state "$second")"

step "mpirun is killed while a host does not answer: nothing is settled before it has"
: >"$dir/agent.calls"
touch "$dir/down-node-b"
for pid in $(job_pids "$second"); do
    case $(cat "/proc/$pid/comm" 2>/dev/null) in
    mpirun | orterun) kill -KILL "$pid" ;;
    esac
done
sleep 3
[ "$(state "$second")" = running ] || die "settled: $(state "$second")"
rm "$dir/down-node-b"
wait_state "$second" failed 60
grep -q 'node-b .*environ' "$dir/agent.calls" || die "node-b was not asked"
! grep -q 'node-[ac]' "$dir/agent.calls" || die "others were asked"
[ -z "$(job_pids "$second")" ] || die "processes are left"
holds "$(field "$second" epsilon_spent) == $(field "$second" epsilon)"
holds "$(reserved acme) == 0"
check_ledger
schedd_stop
step "ok"
