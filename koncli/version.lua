--- `koncli version`.

local core = require "konductor.core"
local exit = require "koncli.exit"

local M = {}

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local version = core.version()
  if #argv == 0 then
    core.write(1, ("koncli %s\n"):format(version.konductor))
    return exit.OK
  elseif #argv == 2 and (argv[1] == "-o" or argv[1] == "--output") and argv[2] == "json" then
    core.write(1, core.json.encode(version) .. "\n")
    return exit.OK
  end
  return require("koncli.main").complain "version takes no argument but -o json"
end

return M
