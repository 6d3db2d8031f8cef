#!/usr/bin/env bash
# Every header opens with its job in words, is guarded by a name made from its path, and
# says something above each group of prototypes.
# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

while read -r file; do
    [[ $(head -c 2 "$file") == '/*' ]] || fault "$file:1: begin with a comment: its job"
    guard=PPT_$(tr '[:lower:]/.-' '[:upper:]___' <<<"$file")
    grep -q "^#ifndef $guard\$" "$file" || fault "$file:1: the guard should be $guard"
    # A prototype starts at column 1 and is preceded by a comment or by another prototype
    # of the same group; a blank line ends the group.
    while read -r line; do
        fault "$file:$line: a prototype without a word of documentation above it"
    done < <(awk '
        /^$/ { documented = 0 }
        /\*\/$/ { documented = 1; next }
        /^[a-z][a-z_0-9 ]*[ *][a-z][a-z_0-9]*\(/ && !/^(static|struct [a-z_]+ \{|enum)/ {
            if (!documented) print NR
        }' "$file")
done < <(files 'base/*.h' 'kernels/*.h' 'jobs/*.h' 'worker/*.h' 'scheduler/*.h')
finish
