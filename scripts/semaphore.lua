-- A counting semaphore: at most PERMITS processes run the command at the same time.
--
--   PERMITS=3 SEMAPHORE=reports konductor run @semaphore -- make-report
--
-- The first of all sets PERMITS (default 1) for as long as the record SEMAPHORE exists.
-- It is also the example of docs/writing-a-policy.md: a policy of one's own, as four pure functions
-- over one record. status.holders lists who has a permit; the rest is konductor's.
local k = require "konductor"

--- The status with these holders. Whoever writes it marks the write as its own.
local function with_holders(holders, me, fence)
  return { holders = holders, op = me.op, fence = fence }
end

--- All holders but me, in order.
local function others(record, me)
  local list = {}
  for _, holder in ipairs(record.status.holders or {}) do
    if holder.session ~= me.session then
      list[#list + 1] = holder
    end
  end
  return list
end

--- My permit: who I am, how long it lasts, and a mark that changes with every renewal.
local function permit(me, fence)
  return { id = me.holder, session = me.session, op = me.op, ttlMs = me.ttl_ms, fence = fence }
end

local semaphore = k.policy {
  kind = "Semaphore",

  decide = function(record, me, now)
    local holders, peers, until_ms = {}, {}, math.huge
    for _, holder in ipairs(others(record, me)) do
      local lapses_at = me.lapses_at(holder)
      if now < lapses_at then
        holders[#holders + 1], peers[#peers + 1] = holder, holder.session
        until_ms = math.min(until_ms, lapses_at)
      end
    end
    if #holders >= record.spec.permits then
      return { act = "wait", until_ms = until_ms, peers = peers,
        why = ("all %d permits are taken"):format(record.spec.permits) }
    end
    holders[#holders + 1] = permit(me, me.next_fence)
    return { act = "take", status = with_holders(holders, me, me.next_fence),
      why = ("permit %d of %d"):format(#holders, record.spec.permits) }
  end,

  held = function(record, me)
    for _, holder in ipairs(record.status.holders or {}) do
      if holder.session == me.session and holder.fence == me.fence then
        return true
      end
    end
    return false
  end,

  renew = function(record, me)
    local holders = others(record, me)
    holders[#holders + 1] = permit(me, me.fence)
    return with_holders(holders, me, record.status.fence)
  end,

  release = function(record, me)
    return with_holders(others(record, me), me, record.status.fence)
  end,
}

local command, permits = k.command, tonumber(k.env("PERMITS", "1"))
assert(permits and permits >= 1, "PERMITS is not a number from 1 on")
semaphore(k.env("SEMAPHORE", "semaphore")):with({ ttl = "15s", spec = { permits = permits } }, function()
  k.exec(command)
end)
