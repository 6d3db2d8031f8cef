# Completion for bash: source this file, or install it as
# /usr/share/bash-completion/completions/ppt-budget and link the others to it.
# The words come from the programs themselves.

_ppt_complete() {
    local program=$1 word=$2 line=() words i
    # The command so far, without options and without the word being typed.
    for ((i = 1; i < COMP_CWORD && ${#line[@]} < 2; i++)); do
        case ${COMP_WORDS[i]} in
        -*) ;;
        *) line+=("${COMP_WORDS[i]}") ;;
        esac
    done
    words=
    case $program:${line[0]:-} in
    ppt-budget: | ppt-queue:) words=$("$program" --completion-words 2>/dev/null) ;;
    ppt-budget:account) words="create --help" ;;
    ppt-budget:dataset) words="add --help" ;;
    ppt-budget:member) words="add remove --help" ;;
    esac
    case $program:${line[*]} in
    ppt-budget:account\ * | ppt-budget:dataset\ * | ppt-budget:member\ *)
        words=$("$program" "${line[@]}" --completion-words 2>/dev/null) ;;
    ppt-submit:* | ppt-schedd:*)
        words=$("$program" --completion-words 2>/dev/null) ;;
    ppt-budget:?* | ppt-queue:?*)
        [ -n "$words" ] ||
            words=$("$program" "${line[0]}" --completion-words 2>/dev/null) ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
    # Operands that are files, and values of options that name one.
    case $program:${line[*]}:${3:-} in
    *:--config | *:--sql | ppt-submit:* | ppt-budget:dataset\ add*)
        [[ $word == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    esac
}
complete -o filenames -F _ppt_complete ppt-submit ppt-queue ppt-budget ppt-schedd
