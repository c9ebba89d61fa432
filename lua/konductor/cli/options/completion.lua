--- The options of `konductor completion`.

---@param parser table
return function(parser)
  parser:description("Prints the completion script for a shell.")
  parser:argument("shell"):args(1):choices { "bash", "zsh", "fish" }
  parser:epilog [[
Examples:
  konductor completion bash > /etc/bash_completion.d/konductor
  konductor completion zsh > "${fpath[1]}/_konductor"
  konductor completion fish > ~/.config/fish/completions/konductor.fish

koncli completion prints those of koncli, for a file of its name beside.]]
end
