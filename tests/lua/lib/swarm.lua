--- Worlds with faults drawn by chance: each seed switches every fault on or off and draws
--- its strength, plays some simulated minutes, heals everything, and is judged.

local claim = require "konductor.claim"
local elect = require "konductor.elect"
local faults_of = require "konductor.sim.faults"
local flow = require "konductor.flow"
local history = require "konductor.history"
local oracle = require "konductor.sim.oracle"
local play = require "lib.play"
local random = require "konductor.sim.random"
local record_of = require "konductor.record"
local runner = require "konductor.runner"
local sim = require "konductor.sim.world"

local M = {}

local FAULTY_MS = 120000
local NAMES = { "r1", "r2", "r3", "r4", "r5", "r6" }

local ENOUGH = { skipped = true, failed = true, doubt = true }

-- Did it see the work done, or over for good? Then it need not start again.
local function is_over(process)
  local value = process.value
  return value == 0 or type(value) == "table" and ENOUGH[value.outcome] == true
end

local function world_of(seed, chance, faults)
  return sim.new {
    seed = seed, clocks = faults:clocks(NAMES), timeout_ms = 3000, peers = chance:below(2) == 1,
    watch_sends_record = chance:below(2) == 1, fault = faults:of_calls(), watch_fault = faults:of_watches(),
    commands = {
      serve = function() return faults:command(true) end,
      migrate = function() return faults:command(false) end,
    },
  }
end

--- Keeps each replica alive: what has ended or was crashed starts again after a while.
local function keep_started(s, chance, name, main, processes, faults)
  processes[name] = s:start(name, main)
  local function look()
    local process = processes[name]
    local over = process.supervisor.dead
    if process.done and not process.ok then
      error(process.value, 0)
    elseif over and not is_over(process) then
      processes[name] = s:start(name, main)
    end
    s:after((faults.over and 1000 or 1000 + chance:below(9000)) * 1000, nil, look)
  end
  s:after(chance:below(5000) * 1000, nil, look)
end

local NO_QUEUE = { 7, "not JSON", true, { a = {} }, { "x" }, { { id = "x" } }, { { session = "x", prio = 0 } } }

-- What becomes of one entry: it is gone, twice there, beside what is none, or under another name.
local MESSES = {
  function() end,
  function(queue, entry) queue[#queue + 1], queue[#queue + 2] = entry, entry end,
  function(queue, entry) queue[#queue + 1], queue[#queue + 2] = 5, entry end,
  function(queue, entry) queue[#queue + 1] = { id = "x", session = entry.session, prio = entry.prio + 1 } end,
  function(queue, entry) queue[#queue + 1] = entry end,
}

local function garbled(chance, status)
  if chance:below(7) == 0 then
    return NO_QUEUE[1 + chance:below(#NO_QUEUE)]
  end
  local queue = {}
  for _, entry in ipairs(record_of.waiters(status)) do
    MESSES[1 + chance:below(#MESSES)](queue, entry)
  end
  if chance:below(3) == 0 then
    queue[#queue + 1] = { id = status.holder, session = status.session, prio = chance:below(4) }
  end
  for i = 1, chance:below(9) == 0 and 400 or chance:below(2) do
    queue[#queue + 1] = { id = "ghost", session = "ghost" .. i, prio = chance:below(3) }
  end
  return queue
end

-- Somebody who edits the queue again and again, and knows nothing of it.
local function garble(s, chance, faults)
  local function act()
    local record = s.store:get("Lease", "x")
    if record then
      record.status.waiters = garbled(chance, record.status)
      s.store:replace(record, record.status)
    end
    if not faults.over then
      s:after((100 + chance:below(6000)) * 1000, nil, act)
    end
  end
  s:after(1000000, nil, act)
end

local MAINS = {
  Lease = function(chance)
    local ttl_ms = ({ 3000, 15000, 15000, 30000 })[1 + chance:below(4)]
    local priority, preempt = chance:below(3), chance:below(4) == 0
    return function(w)
      return elect.run(w, {
        name = "x", spec = { ttl = "15s" }, ttl_ms = ttl_ms, priority = priority, preempt = preempt, again = true,
        work = { argv = { "serve" } }, stop_grace_ms = 3000,
      })
    end
  end,
  Once = function()
    return function(w)
      return claim.run(w, {
        name = "x", version = "v1", ttl_ms = 15000, work = { argv = { "migrate" } }, stop_grace_ms = 3000,
      })
    end
  end,
}

--- At-most-once work.
function MAINS.Careful()
  return function(w)
    return claim.run(w, {
      name = "x", version = "v1", ttl_ms = 15000, work = { argv = { "migrate" } }, stop_grace_ms = 3000,
      mode = "AtMostOnce",
    })
  end
end

local function flow_of()
  local stages = {}
  for i, after in ipairs { false, { "s1" }, { "s1" }, { "s2", "s3" } } do
    stages[i] = { name = "s" .. i, after = after or nil, version = "v1", argv = { "migrate" }, grace = 3000 }
  end
  return assert(flow.define("x", stages))
end

--- A flow of four stages, the second and third side by side, run by the shipped runner.
function MAINS.Flow()
  local defined = flow_of()
  return function(w)
    return runner.run {
      world = w, grace_ms = 3000, program = { items = { { type = "flow", name = "x", flow = defined } } },
      json = { array = function(list) return list end },
      exit_code = function() return 74 end,
      signal = function() return nil end,
    }
  end
end

local function judge_order(s)
  local found = {}
  oracle.judge_order(s, { { name = "x", stages = flow_of().stages } }, found)
  if found[1] then
    error("ORDER: " .. found[1].text, 0)
  end
end

-- What the event logs prove; not asked of worlds in which a record was deleted by hand, or in
-- which frozen children make intervals that are no acts.
local function judge_history(s)
  local result = history.check(s.history, { open = true })
  if #result.violations > 0 then
    local first = result.violations[1]
    error(("HISTORY %s: %s"):format(first.rule, first.text), 0)
  end
end

local function active_run(s)
  local run = s.runs[#s.runs]
  return run and not run.to_us
end

-- A lease is led again; work is done and everybody knows it.
local function lives_again(kind, s, processes)
  if kind == "Lease" then
    return s:run_until(function() return active_run(s) end, 120000)
  end
  return s:run_until(function()
    for _, name in ipairs(NAMES) do
      local process = processes[name]
      if process and not (process.done and is_over(process)) then
        return false
      end
    end
    return true
  end, 600000)
end

--- Plays one seed. Raises with what broke.
---@param kind "Lease"|"Once"|"Flow"|"Careful"
---@param seed integer
---@param options? {calm?: boolean, garbled?: boolean, on_log?: function}  calm: no faults; garbled: of the queue, too
---@return konductor.sim.World
---@return konductor.sim.Faults
function M.play(kind, seed, options)
  options = options or {}
  local chance = random.new(seed, 7)
  local faults = faults_of.new(chance, options.calm and {} or nil)
  local s = world_of(seed, chance, faults)
  s.on_log = options.on_log
  play.guard_fences(s)
  local processes = {}
  for i = 1, 2 + chance:below(#NAMES - 1) do
    local name = NAMES[i]
    keep_started(s, chance, name, MAINS[kind](chance), processes, faults)
    faults:disturb(s, function() return processes[name] end)
  end
  faults:strangers(s)
  if options.garbled then
    garble(s, chance, faults)
  end
  s:run_until(FAULTY_MS)
  faults.over = true
  s:run_for(45000) -- what still waits to be healed
  local alive = lives_again(kind, s, processes)
  local deleted = faults.hits.delete > 0
  play.judge_runs(s, deleted)
  if kind == "Flow" and not deleted then
    judge_order(s)
  end
  if kind == "Careful" and not deleted and #s.runs > 1 then
    error(("TWICE: at-most-once work began %d times"):format(#s.runs), 0)
  end
  if not deleted and faults.hits.freeze == 0 then
    judge_history(s)
  end
  if not alive then
    error("DEAD: nobody works after all has healed", 0)
  end
  return s, faults
end

return M
