--- What a person on a terminal sees of a wait: a live line that says for whom, and counts the time down.

local core = require "konductor.core"

local M = {}

local STDERR = 2
local INFO = 3

--- A listener for the states of a driver. Scripts see nothing of it: their standard error is no terminal.
---@param command koncli.Command
---@param on_holding? fun()
---@return fun(state: string, detail: table?)
function M.shown(command, on_holding)
  local log = command.made.log
  return function(state, detail)
    if state == "waiting" then
      if core.isatty(STDERR) and not command.options.quiet then
        log.level = math.max(log.level, INFO)
      end
      log:show(detail.why, detail.until_ms)
      return
    end
    log:hide()
    if state == "holding" and on_holding then
      on_holding()
    end
  end
end

return M
