--- The options of `konductor probe`.

---@param parser table
return function(parser)
  parser:description("Asks a probe endpoint: exit code 0 when it answers 200, else 1. For images without curl.")
  parser:argument("url"):args "?"
    :description("Default: http://127.0.0.1:5047/readyz. A path alone (/livez, livez) is added to that address.")
  parser:option("-t --timeout"):argname("DURATION"):default "3s":description("How long to wait for the answer.")
  parser:flag("-q --quiet"):description("Prints nothing.")
  parser:epilog [[
Examples:
  konductor probe                    ready?
  konductor probe /leaderz           leading?
  konductor probe http://10.0.0.7:5047/livez]]
end
