--- Colours for people: only on a terminal, and not where NO_COLOR or a dumb terminal says so.

local core = require "konductor.core"

local M = {}

local STDOUT = 1
local RESET = "\27[0m"
local OF = {
  Executed = "\27[32m", Held = "\27[32m", Running = "\27[36m",
  Granted = "\27[33m", Lapsed = "\27[33m", Expired = "\27[33m", Retrying = "\27[33m",
  Failed = "\27[31m", InDoubt = "\27[31m", Damaged = "\27[31m",
}

--- Whether answers are coloured.
---@param environ table<string, string>
---@param is_terminal boolean
---@return boolean
function M.wanted(environ, is_terminal)
  return is_terminal and (environ.NO_COLOR or "") == "" and environ.TERM ~= "dumb"
end

--- What colours the word for a state, with the blanks that fill its column; nil where nothing is coloured.
---@return (fun(word: string, filled: string): string)?
function M.painter()
  if not M.wanted(core.environ(), core.isatty(STDOUT)) then
    return nil
  end
  return function(word, filled)
    return OF[word] and OF[word] .. filled .. RESET or filled
  end
end

return M
