--- The options of `konductor install`.

---@param parser table
return function(parser)
  parser:description("Copies this program to DIR/konductor and DIR/koncli. For an initContainer whose image has no cp.")
  parser:argument("dir"):args(1):description("A directory that exists, for example a shared volume.")
  parser:epilog [[
Example:
  konductor install /shared]]
end
