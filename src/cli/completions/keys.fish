# The names of keys come from the agent.
complete -c lictor -n "__fish_lictor_using_subcommand kv" -f -a "(lictor complete-key (commandline -opc)[2..] (commandline -ct) 2>/dev/null)"
