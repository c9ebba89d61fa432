--- Faults by chance, as a swarm: each seed switches every kind on or off and draws how strong it is, so that no two
--- worlds are troubled alike. What is hit is counted: a run that met none of a kind says nothing about it.
---
---   local faults = faults_of.new(random.new(seed, 7))
---   local s = sim.new { fault = faults:of_calls(), watch_fault = faults:of_watches(), clocks = faults:clocks(names) }
---   faults:disturb(s, function() return processes.r1 end)
---   faults:strangers(s)
---   faults.over = true   -- from now on all is well

local M = {}

--- Every kind, and one chance in how many a strength of 1 gives at each occasion.
M.kinds = {
  lose_request = 1000,  -- a call that never arrives
  lose_answer = 1000,   -- one that is carried out, and nobody is told
  late = 1000,          -- a write that lands seconds after it was given up
  twice = 1000,         -- a write that is delivered two times
  busy = 500,           -- "not now"
  stale = 1000,         -- a read of the state before the last write
  slow = 500,           -- a call that travels seconds
  watch_loss = 150,     -- an event that never comes
  watch_delay = 150,    -- one that comes seconds late
  crash = 400,          -- SIGKILL of konductor, its machine or its pod
  freeze = 400,         -- all of a replica stands still, its child too
  half_freeze = 400,    -- konductor alone does
  partition = 400,      -- requests, answers or both get lost for a while
  refuse = 400,         -- its rights are taken away for a while
  stop = 400,           -- SIGTERM
  foreign = 150,        -- somebody else writes into the record
  delete = 2000,        -- somebody deletes it
  rate = 0,             -- boot clocks that run up to 3 % fast or slow
  stubborn = 200,       -- a child that ignores TERM
  daemon = 200,         -- a child that leaves a descendant behind
  fail = 0,             -- work that exits with 1 every fourth time
}

--- In the order in which they are drawn.
local ORDER = {}
for kind in pairs(M.kinds) do
  ORDER[#ORDER + 1] = kind
end
table.sort(ORDER)
M.order = ORDER

local MAX_RATE_PPM = 30000
local MAX_WALL_MS = 3600000
local MAX_HEAL_MS = 40000

---@class konductor.sim.Faults
---@field strength table<string, integer>  0: this seed is without it; else 1-100
---@field hits table<string, integer>      how often each kind was used
---@field over boolean                     nothing is wrong any more
local Faults = {}
Faults.__index = Faults

---@param chance konductor.sim.Random
---@param only? table<string, boolean>  these kinds and no others; {}: none
---@return konductor.sim.Faults
function M.new(chance, only)
  local self = setmetatable({ chance = chance, strength = {}, hits = {}, over = false }, Faults)
  for _, kind in ipairs(ORDER) do
    local on, strength = chance:below(2) == 1, 1 + chance:below(100)
    self.strength[kind] = on and (not only or only[kind]) and strength or 0
    self.hits[kind] = 0
  end
  return self
end

function Faults:count(kind)
  self.hits[kind] = self.hits[kind] + 1
end

--- Whether it happens now.
---@param kind string
---@return boolean
function Faults:hit(kind)
  local strength = self.strength[kind]
  if strength == 0 or self.over or self.chance:below(M.kinds[kind]) >= strength then
    return false
  end
  self:count(kind)
  return true
end

--- Clocks for sim.new: apart from each other, and those of rate only where the seed has them.
---@param names string[]
---@return table
function Faults:clocks(names)
  local clocks, chance = {}, self.chance
  for _, name in ipairs(names) do
    local ppm = chance:below(2 * MAX_RATE_PPM + 1) - MAX_RATE_PPM
    local off = self.strength.rate == 0
    clocks[name] = {
      offset_ms = chance:below(1000000), ppm = off and 0 or ppm, wall_ms = chance:below(2 * MAX_WALL_MS) - MAX_WALL_MS,
    }
    if not off then
      self:count "rate"
    end
  end
  return clocks
end

--- What happens to a call, for sim.new.
---@return fun(op: table): table
function Faults:of_calls()
  local chance = self.chance
  return function(op)
    local writes = op.verb == "replace"
    if self:hit "lose_request" then
      return { lose = "request" }
    elseif self:hit "lose_answer" then
      return { lose = "answer" }
    elseif writes and self:hit "late" then
      return { late_ms = 2000 + chance:below(33000) }
    elseif writes and self:hit "twice" then
      return { twice = true }
    elseif self:hit "busy" then
      return { code = "busy" }
    elseif op.verb == "get" and self:hit "stale" then
      return { stale = true }
    elseif self:hit "slow" then
      return { to_ms = chance:below(1500), back_ms = chance:below(1500) }
    end
    return { to_ms = chance:below(20), back_ms = chance:below(20) }
  end
end

--- What happens to an event of a watch, for sim.new.
---@return fun(): table
function Faults:of_watches()
  local chance = self.chance
  return function()
    if self:hit "watch_loss" then
      return { lose = true }
    elseif self:hit "watch_delay" then
      return { delay_ms = chance:below(8000) }
    end
    return { delay_ms = chance:below(15) }
  end
end

--- How a command behaves that was started now: see child.lua.
---@param lasts boolean  it serves until it is ended
---@return table
function Faults:command(lasts)
  local chance = self.chance
  local term_ms = 50
  if self:hit "stubborn" then
    term_ms = false
  end
  if lasts then
    local descendants = self:hit "daemon" and { { run_ms = 4000, term_ms = term_ms } } or nil
    return { run_ms = 360000000, term_ms = term_ms, descendants = descendants, start_ms = chance:below(30) }
  end
  local fails = chance:below(4) == 0 and self.strength.fail > 0 and not self.over
  if fails then
    self:count "fail"
  end
  return { run_ms = 500 + chance:below(20000), code = fails and 1 or 0, start_ms = chance:below(30), term_ms = term_ms }
end

local CUTS = { "requests", "answers", "both" }

local function thaw(process)
  process:thaw()
end

local function reconnect(process)
  process:partition(nil)
end

-- Gives how it is undone, where it is to be.
local function trouble(self, process)
  if self:hit "crash" then
    process:crash { silent = self.chance:below(2) == 1 }
  elseif self:hit "freeze" then
    process:freeze "all"
    return thaw
  elseif self:hit "half_freeze" then
    process:freeze "supervisor"
    return thaw
  elseif self:hit "partition" then
    process:partition(CUTS[1 + self.chance:below(#CUTS)])
    return reconnect
  elseif self:hit "refuse" then
    process:partition "refused"
    return reconnect
  elseif self:hit "stop" then
    process:stop()
  end
end

--- Troubles one replica from time to time, one thing at a time.
---@param s konductor.sim.World
---@param current fun(): konductor.sim.Process  the process that it is now
function Faults:disturb(s, current)
  local function again(act)
    s:after(self.chance:below(10000) * 1000, nil, act)
  end
  local function act()
    local process = current()
    local undo
    if not process.supervisor.dead and not process.supervisor.frozen and not process.link then
      undo = trouble(self, process)
    end
    if undo then
      s:after((1000 + self.chance:below(MAX_HEAL_MS)) * 1000, nil, function()
        undo(process)
        again(act)
      end)
    elseif not self.over then
      again(act)
    end
  end
  again(act)
end

-- One of the records that there are.
local function any_record(s, chance)
  local all = {}
  for _, kind in ipairs { "Lease", "Once" } do
    for _, record in ipairs(s.store:list(kind)) do
      all[#all + 1] = record
    end
  end
  return all[1] and all[1 + chance:below(#all)]
end

--- Those who edit and delete records and know nothing of policies.
---@param s konductor.sim.World
function Faults:strangers(s)
  local chance = self.chance
  local function act()
    local record = any_record(s, chance)
    if record and self:hit "foreign" then
      record.status.note = tostring(s:time_ms())
      s.store:replace(record, record.status)
    elseif record and self:hit "delete" then
      s.store:delete(record)
    end
    if not self.over then
      s:after((500 + chance:below(3000)) * 1000, nil, act)
    end
  end
  s:after(1000000, nil, act)
end

return M
