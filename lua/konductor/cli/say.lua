--- An answer on standard output. One that could not be written is no success: whoever made a file of it must not go on.

local core = require "konductor.core"

--- koncli has exit codes of its own.
local KONCLI_ERROR = 1

---@param title string   of the command: "konductor plan", "koncli help"
---@param answer string
---@return integer exit_code
return function(title, answer)
  local ok, _, detail = core.write(1, answer)
  if ok then
    return 0
  end
  core.write(2, ("%s: %s\n"):format(title, detail))
  return title:find "^koncli" and KONCLI_ERROR or core.exit_code "system"
end
