--- What this process still has in the store, learned from its own events: holds that were
--- not given up, places in a queue that were not left. Pure.
---
--- Only a process that has nothing left may end quietly, that is, take its sign of life
--- away; all others leave it for the kernel to cut, so that those who wait learn at once.

local M = {}

local OPENS = { claim = true, accept = true, join = true }
local CLOSES = { release = true, complete = true, fail = true, leave = true }

---@class konductor.Ledger
---@field open table<string, boolean>
local Ledger = {}
Ledger.__index = Ledger

---@return konductor.Ledger
function M.new()
  return setmetatable({ open = {} }, Ledger)
end

--- Takes in an event. A claim or an accept ends the place in the queue as well: one entry an object.
---@param name string
---@param fields { kind?: string, name?: string }
function Ledger:take(name, fields)
  if OPENS[name] or CLOSES[name] then
    self.open[fields.kind .. "/" .. fields.name] = OPENS[name]
  end
end

---@return boolean
function Ledger:is_empty()
  return next(self.open) == nil
end

return M
