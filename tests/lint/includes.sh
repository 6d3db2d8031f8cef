#!/usr/bin/env bash
# Who may include whom: the rooms' rule in README.md, "The tour".
# shellcheck source=tests/lint/lint.sh
. "$(dirname "$0")/lint.sh"

# The part of the house that a path belongs to.
part() {
    case $1 in
    base/*) echo base ;;
    kernels/*) echo kernels ;;
    jobs/model/* | jobs/dp/* | jobs/fl/* | jobs/smpc/* | jobs/he/*)
        path=${1#jobs/} && echo "${path%%/*}" ;;
    jobs/*) echo contract ;;
    worker/*) echo worker ;;
    scheduler/*) echo scheduler ;;
    *) echo outside ;;
    esac
}

may_include() {
    case $1:$2 in
    base:base | kernels:kernels) ;;
    contract:base | contract:contract) ;;
    model:base | model:kernels | model:contract | model:model) ;;
    dp:base | dp:kernels | dp:contract | dp:model | dp:dp) ;;
    fl:base | fl:kernels | fl:contract | fl:model | fl:dp | fl:fl) ;;
    worker:base | worker:kernels | worker:contract | worker:model | worker:dp | worker:fl | worker:worker) ;;
    scheduler:base | scheduler:contract | scheduler:scheduler) ;;
    *) return 1 ;;
    esac
}

while IFS=: read -r file line text; do
    target=$(sed -E 's/^[^"]*"([^"]+)".*/\1/' <<<"$text")
    from=$(part "$file")
    if [ ! -e "$target" ]; then
        fault "$file:$line: \"$target\" is not relative to the root"
    elif ! may_include "$from" "$(part "$target")"; then
        fault "$file:$line: $from may not include $(part "$target"): $target"
    fi
done < <(files 'base/*.[ch]' 'kernels/*.[ch]' 'jobs/*.[ch]' 'worker/*.[ch]' \
    'scheduler/*.[ch]' | xargs grep -nE '^ *# *include *"' /dev/null)
finish
