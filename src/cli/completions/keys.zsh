# The names of keys come from the agent.
(( $+functions[_lictor_keys] )) ||
_lictor_keys() {
    local -a line keys
    line=("${(@Q)${(z)LBUFFER}}")
    [[ $LBUFFER != *[[:space:]] ]] || line+=("")
    line=("${(@)line[${line[(I)(lictor|*/lictor)]} + 1,-1]}")
    keys=("${(@f)$(lictor complete-key "${line[@]}" 2>/dev/null)}")
    compadd -S '' -- ${(M)keys:#*/}
    compadd -- ${keys:#*/}
}

