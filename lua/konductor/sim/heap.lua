--- The order of things to come: a binary heap of timers by (time, order of setting).
---
--- A timer knows its place, so that a cancelled one leaves at once: a renewal loop sets
--- and cancels for ever, and must not grow the heap.

local M = {}

---@class konductor.sim.Timer
---@field at integer      µs of true time
---@field seq integer     breaks ties: first set, first run
---@field place? integer  in the heap; nil when not set
---@field run fun(a?: any, b?: any)

---@class konductor.sim.Heap
local Heap = {}
Heap.__index = Heap

function M.new()
  return setmetatable({ n = 0, seq = 0 }, Heap)
end

local function before(a, b)
  return a.at < b.at or a.at == b.at and a.seq < b.seq
end

local function rise(heap, timer, i)
  while i > 1 do
    local up = (i - i % 2) / 2
    local parent = heap[up]
    if not before(timer, parent) then
      break
    end
    heap[i] = parent
    parent.place = i
    i = up
  end
  heap[i] = timer
  timer.place = i
end

local function sink(heap, timer, i)
  local n = heap.n
  while true do
    local down = 2 * i
    if down > n then
      break
    end
    if down < n and before(heap[down + 1], heap[down]) then
      down = down + 1
    end
    local child = heap[down]
    if not before(child, timer) then
      break
    end
    heap[i] = child
    child.place = i
    i = down
  end
  heap[i] = timer
  timer.place = i
end

--- Sets a timer, which must not be set already.
---@param timer konductor.sim.Timer
function Heap:add(timer)
  self.seq = self.seq + 1
  timer.seq = self.seq
  self.n = self.n + 1
  rise(self, timer, self.n)
end

---@param timer konductor.sim.Timer
function Heap:remove(timer)
  local i = timer.place
  if not i then
    return
  end
  timer.place = nil
  local last = self[self.n]
  self[self.n] = nil
  self.n = self.n - 1
  if last ~= timer then
    sink(self, last, i)
    rise(self, last, last.place)
  end
end

---@return konductor.sim.Timer?
function Heap:first()
  return self[1]
end

return M
