--- The options of `konductor install`.

---@param parser table
return function(parser)
  parser:description("Copies this program to DIR/konductor, DIR/koncli and DIR/just-one-init. For an initContainer "
    .. "whose image has no cp.")
  parser:argument("dir"):args(1):description("A directory that exists, for example a shared volume.")
  parser:epilog [[
Example:
  konductor install /shared]]
end
