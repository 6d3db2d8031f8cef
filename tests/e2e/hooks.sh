#!/usr/bin/env bash
# The site's own program is told of jobs that are done, refused and cancelled, after they
# were settled; one that hangs holds up neither jobs nor the lease.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 lease=5
mkdir -m 755 "$dir/hooks"
hook=$dir/hooks/end
cat >"$hook" <<END
#!/bin/sh
state=\$(PPT_CONFIG=$dir/site-reader.yaml $(command -v ppt-queue) show --json "\$1" |
    sed -nE 's/.*"state": "([^"]*)".*/\1/p')
echo "\$1 \$2 \$state \$PPT_JOB_NAME \$PPT_JOB_ACCOUNT \$PPT_JOB_USER \$PPT_JOB_EXIT_CODE \$PPT_JOB_EPSILON \$PPT_JOB_MAIL" >>$dir/told
[ "\$1" != 1 ] || exec sleep 1000
END
chmod 755 "$hook"
echo "hooks: {end: $hook, time_limit: 15s}" >>"$dir/site-scheduler.yaml"
spec first 1 300 "notify: {mail: alice@example.org}"
spec greedy 9 300 "notify: {mail: alice@example.org, on: [failed, cancelled]}"
spec slow 1 100000 "notify: {mail: lab+alice@example.org, on: [cancelled]}"
schedd_start

# told ID: the line of that job, when it has come
told() {
    for _ in $(seq 150); do
        if grep "^$1 " "$dir/told" 2>/dev/null; then return; fi
        sleep 0.1
    done
    die "job $1 was not told: $(cat "$dir/told" "$dir/schedd.log")"
}

step "a job that is done; its program hangs"
id=$(submit first)
wait_state "$id" "done"
[ "$(told "$id")" = "1 done done first acme/lab alice 0 $(field 1 epsilon_spent | xargs printf %.6g) alice@example.org" ] ||
    die "$(told "$id")"

step "a refused one, and one that is cancelled"
id=$(submit greedy)
wait_state "$id" refused
told "$id" | grep -qx "$id refused refused greedy acme/lab alice 12 0 " || die "$(told "$id")"
id=$(submit slow)
wait_metered "$id"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
told "$id" | grep -q "^$id cancelled cancelled slow acme/lab alice 22 0\..* lab+alice@example.org\$" || die "$(told "$id")"

step "the one that hangs is killed, the lease was kept, none was told twice"
for _ in $(seq 200); do
    ! grep -q 'job 1: killed after 15 s' "$dir/schedd.log" || break
    sleep 0.1
done
grep -q 'job 1: killed after 15 s' "$dir/schedd.log" || die "it lives"
[ "$(grep -c 'connected to the database' "$dir/schedd.log")" = 1 ] || die "the lease was lost"
[ "$(cut -d' ' -f1 "$dir/told" | tr '\n' ' ')" = "1 2 3 " ] || die "told: $(cat "$dir/told")"

step "a program that is missing"
rm "$hook"
id=$(submit first)
wait_state "$id" "done"
sleep 1
grep -q "hooks.end, job $id: cannot run $hook" "$dir/schedd.log" || die "no warning"
check_ledger
step "ok"
