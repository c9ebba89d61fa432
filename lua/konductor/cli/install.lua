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
  return require "konductor.cli.say"("konductor install", path .. "\n")
end

return M
