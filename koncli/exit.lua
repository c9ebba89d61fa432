--- The exit codes of koncli. Pure.

local M = {
  OK = 0,
  ERROR = 1,
  ABSENT = 2,
  TIMEOUT = 3,
  DENIED = 4,
  UNAVAILABLE = 5,
  USAGE = 64,
}

local OF = {
  absent = M.ABSENT, timeout = M.TIMEOUT, denied = M.DENIED, claimed = M.UNAVAILABLE, lost = M.UNAVAILABLE,
  usage = M.USAGE,
}

--- The exit code for a word of core/errors.def, or for "claimed": somebody has it.
---@param word string
---@return integer
function M.of(word)
  return OF[word] or M.ERROR
end

return M
