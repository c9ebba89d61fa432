--- `koncli completion SHELL`.

local core = require "konductor.core"
local exit = require "koncli.exit"

local M = {}

local SHELLS = { bash = true, zsh = true, fish = true }

---@param argv string[]
---@return integer exit_code
function M.run(argv)
  local main = require "koncli.main"
  local shell = argv[1]
  if #argv ~= 1 or not SHELLS[shell] then
    return main.complain "completion takes one shell: bash, zsh or fish"
  end
  local parser = require("koncli.args").all(main.VERBS, main.PLAIN)
  core.write(1, parser["get_" .. shell .. "_complete"](parser))
  return exit.OK
end

return M
