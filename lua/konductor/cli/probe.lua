--- `konductor probe [URL]`: the answer of a probe endpoint as an exit code.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local duration = require "konductor.duration"

local M = {}

local HERE = "http://127.0.0.1:5047"
--- Meant as a path also without the slash, not as the name of a host.
local PATHS = { livez = true, readyz = true, leaderz = true, metrics = true, healthcheck = true }

---@param given string[]
---@return integer exit_code
function M.run(given)
  local options, code = args.parse("probe", given)
  if not options then
    return code
  end
  local timeout_ms, word, sentence = duration.parse(options.timeout)
  if not timeout_ms then
    core.write(2, ("konductor probe: --timeout: %s\n"):format(sentence))
    return core.exit_code(word)
  end
  local url = options.url or "/readyz"
  if PATHS[url] then
    url = "/" .. url
  end
  if url:find("^/") then
    url = HERE .. url
  end
  local status, _, detail = core.probe_get(url, timeout_ms)
  if not options.quiet then
    core.write(1, status and ("%s answers %d\n"):format(url, status) or "")
    core.write(2, status and "" or ("konductor probe: %s\n"):format(detail))
  end
  return status == 200 and 0 or 1
end

return M
