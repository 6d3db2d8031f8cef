#!/usr/bin/env bash
# A file fits in one head (800 lines), a function on a page (70 lines), a line in 88
# columns.
# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

while read -r file; do
    n=$(wc -l <"$file")
    [ "$n" -le 800 ] || fault "$file:1: $n lines; at most 800"
    while read -r words; do
        fault "$words"
    done < <(awk -v file="$file" '
        length($0) > 88 && $0 !~ /https?:/ { print file ":" NR ": longer than 88 columns" }
        /^\{/ { start = NR }
        /^\}/ && start {
            if (NR - start - 1 > 70)
                print file ":" start ": a function of " NR - start - 1 " lines; at most 70"
            start = 0
        }' "$file")
done < <(files 'base/*.[ch]' 'kernels/*.[ch]' 'jobs/*.[ch]' 'worker/*.[ch]' 'scheduler/*.[ch]')
finish
