#!/bin/sh
# Every row of the vectors was reached by a test: counts rows by quantity and mechanism,
# and fails with the ids of those that no test program wrote down.
# usage: every_row.sh VECTORS REACHED
set -eu
exec awk -F, '
    FNR == NR { reached[$1] = 1; n_reached++; next }
    /^#/ || $1 == "id" { next }
    {
        kind = $2 " " $3; rows[kind]++; n++
        if ($1 in reached) met[kind]++
        else { missing[kind] = missing[kind] " " $1; n_missing++ }
    }
    END {
        for (kind in rows)
            printf "%-40s %3d of %3d%s\n", kind, met[kind], rows[kind], missing[kind]
        printf "%d rows, %d not reached\n", n, n_missing
        exit n == 0 || n_reached == 0 || n_missing > 0
    }' "$2" "$1"
