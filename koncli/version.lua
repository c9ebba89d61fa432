--- `koncli version`.

local core = require "konductor.core"
local say = require "konductor.cli.say"

local M = {}

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local version = core.version()
  if #argv == 0 then
    return say("koncli version", ("koncli %s\n"):format(version.konductor))
  elseif #argv == 2 and (argv[1] == "-o" or argv[1] == "--output") and argv[2] == "json" then
    return say("koncli version", core.json.encode(version) .. "\n")
  end
  return require("koncli.main").complain "version takes no argument but -o json"
end

return M
