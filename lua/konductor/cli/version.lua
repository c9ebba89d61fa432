--- `konductor version`: this program and the libraries in it.

local core = require "konductor.core"
local say = require "konductor.cli.say"

local M = {}

local EXIT_USAGE = core.exit_code("usage")

---@param args string[]
---@return integer exit_code
function M.run(args)
  local version = core.version()
  if #args == 0 then
    return say("konductor version", ("konductor %s\n%s (JIT %s), SQLite %s, libcurl %s, cJSON %s, libyaml %s\n"):format(
      version.konductor, version.luajit, jit.status() and "on" or "off", version.sqlite, version.curl, version.cjson,
      version.yaml))
  elseif #args == 2 and args[1] == "-o" and args[2] == "json" then
    return say("konductor version", core.json.encode(version) .. "\n")
  end
  core.write(2, "konductor: version takes no argument but -o json\n")
  return EXIT_USAGE
end

return M
