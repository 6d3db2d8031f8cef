#!/usr/bin/env bash
# A private PostgreSQL in a folder of its own: Unix socket only, gone with its owner.
#
#   pg.sh start DIR [PID]   makes a cluster in DIR (created if absent) and starts it; it
#                           is removed when process PID ends. The database is "ppt".
#   pg.sh login DIR NAME [ROLE...]   a login this user may take, member of those roles
#   pg.sh logins DIR        after the migration: officer, scheduler, reader, alice, bob
#   pg.sh conninfo DIR [LOGIN]       prints what libpq needs to connect
#   pg.sh stop DIR | kill DIR | restart DIR | remove DIR
#
# kill is SIGKILL to every process of the server. What it had written is the kernel's by
# then and survives, so tests do without fsync (ctest sets TEST_PG_FSYNC=off): it is for
# power cuts, which no test here can make. Otherwise it is on.
# The server refuses root, so as root it runs as the system user postgres.
set -euo pipefail

me=$(id -un)
command=${1:?start, login, logins, conninfo, stop, kill, restart or remove}
dir=${2:?a folder}

fail() {
    echo "pg.sh: $*" >&2
    exit 1
}

bindir() {
    local best
    best=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -t/ -k5 -n | tail -n 1)
    [ -x "$best/initdb" ] || best=$(pg_config --bindir 2>/dev/null || true)
    [ -x "$best/initdb" ] || fail "no PostgreSQL server found: install postgresql-15"
    echo "$best"
}

as_server() {
    if [ "$(id -u)" = 0 ]; then
        (cd "$dir" && setpriv --reuid=postgres --regid=postgres --clear-groups "$@")
    else
        (cd "$dir" && "$@")
    fi
}

sql() {
    "$(bindir)/psql" -X -q -v ON_ERROR_STOP=1 -h "$dir" -U "$me" -d ppt
}

server_start() {
    as_server "$(bindir)/pg_ctl" -s -w -t 60 -D "$dir/data" -l "$dir/log" start \
        </dev/null >/dev/null || {
        tail -n 20 "$dir/log" >&2 || true
        fail "the server did not start"
    }
}

case $command in
start)
    owner=${3:-}
    mkdir -p "$dir"
    dir=$(realpath "$dir")
    [ ${#dir} -le 85 ] || fail "$dir is too long a path for a Unix socket"
    [ ! -e "$dir/data" ] || fail "$dir holds a cluster already"
    if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$dir"; fi
    chmod 700 "$dir"
    as_server "$(bindir)/initdb" --no-sync -U "$me" -A peer -E UTF8 --locale=C \
        -D "$dir/data" >"$dir/initdb.log" 2>&1 || {
        tail -n 20 "$dir/initdb.log" >&2
        fail "initdb failed"
    }
    cat >>"$dir/data/postgresql.conf" <<END
listen_addresses = ''
unix_socket_directories = '$dir'
max_connections = 160
shared_buffers = 64MB
fsync = ${TEST_PG_FSYNC:-on}
timezone = 'UTC'
END
    echo "local all all peer map=tests" >"$dir/data/pg_hba.conf"
    echo "tests $me $me" >"$dir/data/pg_ident.conf"
    server_start
    "$(bindir)/psql" -X -q -h "$dir" -U "$me" -d postgres -c "CREATE DATABASE ppt"
    if [ -n "$owner" ]; then
        setsid bash -c "while kill -0 $owner 2>/dev/null; do sleep 1; done
            '$(realpath "$0")' remove '$dir'" </dev/null >/dev/null 2>&1 &
    fi
    ;;
login)
    name=${3:?a login}
    shift 3
    echo "tests $me $name" >>"$dir/data/pg_ident.conf"
    {
        echo "CREATE ROLE \"$name\" LOGIN;"
        for role in "$@"; do echo "GRANT $role TO \"$name\";"; done
        echo "SELECT pg_reload_conf();"
    } | sql >/dev/null
    ;;
logins)
    "$0" login "$dir" officer ppt_officer
    "$0" login "$dir" scheduler ppt_scheduler
    "$0" login "$dir" reader ppt_reader
    "$0" login "$dir" alice ppt_submitter
    "$0" login "$dir" bob ppt_submitter
    # A reload is not waited for by the server: the last login working means all do.
    for _ in $(seq 100); do
        "$(bindir)/psql" -X -q -h "$dir" -U bob -d ppt -c "" 2>/dev/null && exit 0
        sleep 0.05
    done
    fail "the server does not take the new logins"
    ;;
conninfo)
    echo "host=$dir dbname=ppt user=${3:-$me}"
    ;;
stop)
    as_server "$(bindir)/pg_ctl" -s -w -m fast -D "$dir/data" stop >/dev/null
    ;;
kill)
    pid=$(head -n 1 "$dir/data/postmaster.pid")
    # Stopped first, so that it starts nothing new while its children are listed.
    kill -STOP "$pid"
    read -r -a pids <<<"$pid $(cat "/proc/$pid/task/$pid/children")"
    kill -KILL "${pids[@]}" 2>/dev/null || true
    for pid in "${pids[@]}"; do
        while grep -qs '^State:' "/proc/$pid/status" &&
            ! grep -qs '^State:.*[ZX]' "/proc/$pid/status"; do
            sleep 0.02
        done
    done
    # All are dead; one that nobody has reaped yet must not look like a living server.
    rm -f "$dir/data/postmaster.pid" "$dir"/.s.PGSQL.5432 "$dir"/.s.PGSQL.5432.lock
    ;;
restart)
    server_start
    ;;
remove)
    if [ -d "$dir/data" ]; then
        as_server "$(bindir)/pg_ctl" -s -w -m immediate -D "$dir/data" stop \
            >/dev/null 2>&1 || true
    fi
    rm -rf "$dir"
    ;;
*)
    fail "unknown command $command"
    ;;
esac
