--- Exit codes as shells and timeout(1) give them, for what has none of its own. Pure.

local M = {}

--- Of work that took longer than it may.
M.TIMED_OUT = 124

local NEVER_BEGAN = { not_found = 127, not_executable = 126 }

--- Of a command that was never started, for this reason.
---@param word string  of core/errors.def
---@return integer
function M.of_failure(word)
  return NEVER_BEGAN[word] or 70
end

return M
