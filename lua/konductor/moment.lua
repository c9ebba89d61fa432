--- One who tries once and is told that another holds gives it a moment all the same, when it may be had by then: the store
--- tells of a dead holder, or those ahead in the queue have had their turn. Once for each.

local M = {}

--- How soon a store that knows of a dead holder says so.
local PEER_MS = 50

--- Until when to look again; nothing when that would be in vain.
---@param c konductor.Candidate
---@param until_ms? number  from when on the policy would look again
---@return number?
function M.more(c, until_ms)
  local status = c.view.record and c.view.record.status or {}
  if not c.me.skew_ms then
    return nil
  elseif not c.had_news and (c.view.peer and not c.view.gone or c.peers and next(c.peers)) then
    c.had_news = true
    return c.w.now() + PEER_MS
  elseif c.kind == "Lease" and (status.holder or "") == "" and until_ms and not c.had_turn then
    c.had_turn = true
    return until_ms
  end
end

return M
