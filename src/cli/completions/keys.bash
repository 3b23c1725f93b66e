
# The names of keys come from the agent; without an answer, what is above has to do.
_lictor_keys() {
    local line="${COMP_LINE:0:COMP_POINT}" words word key
    COMPREPLY=()
    # A word that is quoted is left alone: what is put there would have to be quoted in its way.
    if [[ $line == *" kv "* && $line != *[\'\"]* ]]; then
        read -a words <<<"$line"
        [[ $line != *[[:space:]] ]] || words+=("")
        word="${words[${#words[@]} - 1]}"
        while IFS= read -r key; do
            [[ $key != */ ]] || compopt -o nospace
            # A colon or an equals sign begins a word of its own here.
            [[ $word != *[:=]* ]] || key="${key#"${word%"${word##*[:=]}"}"}"
            printf -v key %q "$key"
            COMPREPLY+=("$key")
        done < <("$1" complete-key "${words[@]:1}" 2>/dev/null)
    fi
    ((${#COMPREPLY[@]})) || _lictor "$@"
}

complete -F _lictor_keys -o bashdefault -o default lictor
