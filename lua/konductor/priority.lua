--- The queue of those who wait for a lease: high priority first, then arrival.
---
--- A queue is a list of {id, session, prio}. Functions never change the list they are
--- given; they return a new one, or nil for an empty one, because an empty list has no
--- place in a record. Low priorities may starve as long as higher ones keep coming.

local M = {}

---@class konductor.Waiter
---@field id string       holder name, for people
---@field session string
---@field prio integer

local EMPTY = {}

--- Place of a session in the queue, 1 for the head, or nil.
---@param queue konductor.Waiter[]?
---@param session string
---@return integer?
function M.place(queue, session)
  queue = queue or EMPTY
  for i = 1, #queue do
    if queue[i].session == session then
      return i
    end
  end
end

--- Where somebody of this priority would stand: before the first lower one.
---@param queue konductor.Waiter[]?
---@param prio integer
---@return integer
function M.insertion(queue, prio)
  queue = queue or EMPTY
  for i = 1, #queue do
    if queue[i].prio < prio then
      return i
    end
  end
  return #queue + 1
end

--- How many stand ahead of a session, queued or not.
---@param queue konductor.Waiter[]?
---@param session string
---@param prio integer
---@return integer
function M.ahead(queue, session, prio)
  return (M.place(queue, session) or M.insertion(queue, prio)) - 1
end

--- Whether somebody of this priority may join: a full queue has room only for one who
--- is above its tail, which is displaced.
---@param queue konductor.Waiter[]?
---@param prio integer
---@param limit integer
---@return boolean
function M.has_room(queue, prio, limit)
  local n = queue and #queue or 0
  return n < limit or (limit > 0 and queue[n].prio < prio)
end

--- The queue with a waiter in its place. The caller has asked has_room().
---@param queue konductor.Waiter[]?
---@param waiter konductor.Waiter
---@param limit integer
---@return konductor.Waiter[]
function M.insert(queue, waiter, limit)
  queue = queue or EMPTY
  local new, at = {}, M.insertion(queue, waiter.prio)
  for i = 1, at - 1 do
    new[i] = queue[i]
  end
  new[at] = waiter
  for i = at, #queue do
    new[i + 1] = queue[i]
  end
  for i = #new, limit + 1, -1 do
    new[i] = nil
  end
  return new
end

--- The queue without a session; the same list when it was not in it.
---@param queue konductor.Waiter[]?
---@param session string
---@return konductor.Waiter[]?
function M.remove(queue, session)
  local at = M.place(queue, session)
  if not queue or not at then
    return queue
  end
  local new = {}
  for i = 1, #queue do
    if i ~= at then
      new[#new + 1] = queue[i]
    end
  end
  return new[1] and new or nil
end

--- The queue without a session and without all who stood ahead of it: they had their
--- time and did not use it.
---@param queue konductor.Waiter[]?
---@param session string
---@param prio integer
---@return konductor.Waiter[]?
function M.drop_ahead(queue, session, prio)
  if not queue then
    return nil
  end
  local new = {}
  for i = M.ahead(queue, session, prio) + 1, #queue do
    if queue[i].session ~= session then
      new[#new + 1] = queue[i]
    end
  end
  return new[1] and new or nil
end

--- Whether a waiter may ask the holder to make way.
---@param prio integer        of the waiter
---@param holder_prio integer
---@param asked integer?      priority of a request that stands already
---@return boolean
function M.may_preempt(prio, holder_prio, asked)
  return prio > holder_prio and (asked == nil or prio > asked)
end

return M
