--- `konductor install DIR`.

local args = require "konductor.cli.args"
local core = require "konductor.core"

local M = {}

---@param given string[]
---@return integer exit_code
function M.run(given)
  local options, code = args.parse("install", given)
  if not options then
    return code
  end
  local path, word, detail = core.install(options.dir, { "koncli", "just-one-init" })
  if not path then
    core.write(2, ("konductor install: %s\n"):format(detail))
    return core.exit_code(word)
  end
  core.write(1, path .. "\n")
  return 0
end

return M
