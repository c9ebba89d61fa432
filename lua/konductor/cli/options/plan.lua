--- The options of `konductor plan`.

local common = require "konductor.cli.options.common"

---@param parser table
return function(parser)
  parser:description("Shows what a script would do, and what of it is done already. Runs nothing of it.")
  common.add_script(parser)
  common.add_store(parser)
  parser:option("-o --output"):choices { "text", "dot", "mermaid", "svg" }:default "text"
    :description("The form of the answer.")
  parser:flag("--offline"):description("Does not look into the store.")
  parser:epilog [[
Examples:
  konductor plan init.lua
  konductor plan init.lua -o svg > stages.svg
  konductor plan init.lua -o dot | dot -Tpng > stages.png]]
  common.add_command_to_usage(parser)
end
