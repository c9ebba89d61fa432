--- Whose a hold is, and how a process signs one: the same for a lease and for work done once. Pure.
---
--- A hold is bound to a process, and then known by its session; or to time, and then by its fence,
--- because no process is there to be known.

local M = {}

--- Writes `me` as the owner into a status.
---@param status table
---@param me {session: string, op: string, ttl_ms: integer, bound?: "process"|"time"}
---@param fence integer
function M.sign(status, me, fence)
  status.bound = me.bound or "process"
  status.session = status.bound == "process" and me.session or ""
  status.fence, status.ttlMs, status.op, status.renewals = fence, me.ttl_ms, me.op, 0
end

--- Whether a hold that names this holder is of this very process, or of this very grant, whether
--- it knows of it or not.
---@param hold {bound?: string, session?: string, fence?: integer}  a status, or what was read from one
---@param me {session: string, fence?: integer, bound?: "process"|"time"}
---@return boolean
function M.is_mine(hold, me)
  if hold.bound == "time" or hold.bound == nil and (hold.session or "") == "" then
    return me.bound == "time" and me.fence ~= nil and me.fence == hold.fence
  end
  return hold.session ~= "" and hold.session == me.session
end

--- Whether the hold that it has, known by `me.fence`, is still the one in a status.
---@param status table
---@param me {session: string, fence?: integer, bound?: "process"|"time"}
---@return boolean
function M.keeps(status, me)
  return status.fence == me.fence and M.is_mine(status, me)
end

return M
