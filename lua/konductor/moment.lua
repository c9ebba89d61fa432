--- One who tries once and is told that another holds gives it a moment all the same, when it may be had by then: the store
--- tells of a dead holder, or those ahead in the queue have had their turn, or the record looks as if its holder had
--- vanished. Once for each.

local ttl = require "konductor.ttl"

local M = {}

--- How soon a store that knows of a dead holder says so.
local PEER_MS = 50

-- The time to live of the hold that the record tells of; nothing when it is free.
local function ttl_of(c, status)
  local is_held = (status.session or "") ~= "" or status.bound == "time"
  if c.kind == "Lease" then
    is_held = (status.holder or "") ~= ""
  end
  return is_held and not status.executed and status.ttlMs or nil
end

-- Age is told by the clocks of servers, which may be wrong by any amount: it only says that watching is worth while. What is
-- watched is passed over as by any waiter, when nobody has written to it for so long by our own clock.
local function is_watched(c, ttl_ms)
  local record = c.view.record
  if c.watched_rev then
    return record.rev == c.watched_rev
  elseif not ttl_ms or not ttl.oneshot_expired(record.age_ms, ttl_ms, c.o.skew_ms) then
    return false
  end
  c.watched_rev = record.rev
  c:log("info", "whoever holds it seems to have vanished: it is watched until that is certain")
  return true
end

--- Until when to look again; nothing when that would be in vain.
---@param c konductor.Candidate
---@param until_ms? number  from when on the policy would look again
---@param ttl_ms? integer   of the holders; default: that of the record
---@return number?
function M.more(c, until_ms, ttl_ms)
  local status = c.view.record and c.view.record.status or {}
  if not (c.o.skew_ms or c.me.skew_ms) then
    return nil
  elseif not c.had_news and (c.view.peer and not c.view.gone or c.peers and next(c.peers)) then
    c.had_news = true
    return c.w.now() + PEER_MS
  elseif c.kind == "Lease" and (status.holder or "") == "" and until_ms and not c.had_turn then
    c.had_turn = true
    return until_ms
  elseif c.o.skew_ms and until_ms and is_watched(c, ttl_ms or ttl_of(c, status)) then
    return until_ms
  end
end

return M
