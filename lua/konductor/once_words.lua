--- What the conditions of a Once say to people: the message that goes with each reason. Pure.

local M = {}

local function what(s)
  return s.version and s.version ~= "" and "version " .. s.version or "it"
end

local function last_error(s)
  return s.lastError and ": " .. s.lastError or ""
end

-- A record that somebody else has written may lack these.
local function attempts(s)
  return s.attempts or 0
end

local function executor(s)
  return s.executor or "its executor"
end

-- What is so no more has one message, whatever took its place.
local NO_MORE = {
  Failed = "no failed attempt stands any more",
  Unknown = "nothing is in doubt any more",
}

local SO = {
  Ready = {
    OnceReady = function() return "it can be claimed, is being worked on, or is done" end,
    Failed = function(s) return ("%s has failed for good; when mended: koncli once reset"):format(what(s)) end,
    InDoubt = function(s) return ("only a person can tell whether %s ran: koncli once resolve"):format(what(s)) end,
  },
  Running = {
    Claimed = function(s) return ("%s works on %s, attempt %d"):format(executor(s), what(s), attempts(s)) end,
    Executed = function(s) return ("%s executed %s"):format(executor(s), what(s)) end,
    Failed = function(s) return ("attempt %d at %s failed"):format(attempts(s), what(s)) end,
    Stopped = function(s) return ("the attempt at %s was stopped, and is not counted"):format(what(s)) end,
    Resolved = function(s) return ("%s did not run, says a person"):format(what(s)) end,
    Reset = function(s) return ("%s was reset by a person"):format(what(s)) end,
  },
  Failed = {
    Retrying = function(s) return ("attempt %d failed%s; others are left"):format(attempts(s), last_error(s)) end,
    Exhausted = function(s) return ("no attempt is left after %d%s"):format(attempts(s), last_error(s)) end,
  },
  Unknown = {
    ExecutorGone = function(s) return ("%s is gone; %s may or may not have run"):format(executor(s), what(s)) end,
  },
}

--- The message of a condition, in a status whose other fields say already what is so.
---@param kind string
---@param status "True"|"False"|"Unknown"
---@param reason string
---@param s table  the status
---@return string?
function M.message(kind, status, reason, s)
  if status == "False" and NO_MORE[kind] then
    return NO_MORE[kind]
  end
  local say = SO[kind] and SO[kind][reason]
  return say and say(s)
end

return M
