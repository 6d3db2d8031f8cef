#!/usr/bin/env bash
# No unfinished work, no paths of one machine, no dead links between the READMEs, and
# README's table of exit statuses is the one in base/error.h.
# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

while IFS= read -r words; do
    fault "$words: unfinished"
done < <(files '*.c' '*.h' '*.sql' '*.sh' '*.lua' | grep -v '^tests/lint/' |
    xargs grep -nE 'TODO|FIXME|\bXXX\b' /dev/null | cut -c1-120)

while IFS= read -r words; do
    fault "$words: a path of one machine"
done < <(files . | grep -v '^tests/lint/' | xargs grep -nIE '/(home|root)/[a-z]' /dev/null |
    cut -c1-120)

while IFS=: read -r file link; do
    [ -e "$(dirname "$file")/$link" ] || fault "$file: nothing is at $link"
done < <(files '*.md' | xargs grep -oE '\]\([a-zA-Z][a-zA-Z0-9/_.-]*\)' /dev/null |
    sed -E 's/:\]\((.*)\)$/:\1/')

sed -nE 's/^    X\((PPT_[A-Z]+), ([0-9]+), "(.*)"\).*/| \2 | \3 |/p' base/error.h |
    while IFS= read -r row; do
        grep -qF "$row" README.md || echo "README.md: the exit status row is missing: $row"
    done >"${TMPDIR:-/tmp}/lint-words.$$"
while IFS= read -r words; do
    fault "$words"
done <"${TMPDIR:-/tmp}/lint-words.$$"
rm -f "${TMPDIR:-/tmp}/lint-words.$$"
finish
