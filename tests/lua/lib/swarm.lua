--- Worlds with faults drawn by chance: each seed switches every fault on or off and draws
--- its strength, plays some simulated minutes, heals everything, and is judged.

local claim = require "konductor.claim"
local elect = require "konductor.elect"
local flow = require "konductor.flow"
local history = require "konductor.history"
local play = require "lib.play"
local random = require "konductor.sim.random"
local record_of = require "konductor.record"
local runner = require "konductor.runner"
local sim = require "konductor.sim.world"

local M = {}

local FAULTY_MS = 120000
local NAMES = { "r1", "r2", "r3", "r4", "r5", "r6" }

local function draw_faults(chance, kinds, calm)
  local on = {}
  for _, kind in ipairs(kinds) do
    on[kind] = chance:below(2) == 1 and not calm and 1 + chance:below(100) or 0
  end
  return on
end

--- One chance in so many, by the strength of a fault; never when it is off.
local function hit(chance, strength, of)
  return strength > 0 and chance:below(of) < strength
end

local KINDS = {
  "lose_request", "lose_answer", "late", "twice", "busy", "stale", "slow", "watch_loss", "watch_delay", "crash",
  "freeze", "half_freeze", "partition", "stop", "foreign", "rate", "stubborn", "delete", "daemon",
  "refuse",
}

local function call_fault(chance, on, healed)
  return function(op)
    if healed() then
      return nil
    elseif hit(chance, on.lose_request, 1000) then
      return { lose = "request" }
    elseif hit(chance, on.lose_answer, 1000) then
      return { lose = "answer" }
    elseif op.verb == "replace" and hit(chance, on.late, 1000) then
      return { late_ms = 2000 + chance:below(33000) }
    elseif op.verb == "replace" and hit(chance, on.twice, 1000) then
      return { twice = true }
    elseif hit(chance, on.busy, 500) then
      return { code = "busy" }
    elseif hit(chance, on.stale, 1000) then
      return { stale = true }
    elseif hit(chance, on.slow, 500) then
      return { to_ms = chance:below(1500), back_ms = chance:below(1500) }
    end
    return { to_ms = chance:below(20), back_ms = chance:below(20) }
  end
end

local function watch_fault(chance, on, healed)
  return function()
    if healed() then
      return nil
    elseif hit(chance, on.watch_loss, 150) then
      return { lose = true }
    elseif hit(chance, on.watch_delay, 150) then
      return { delay_ms = chance:below(8000) }
    end
    return { delay_ms = chance:below(15) }
  end
end

local ENOUGH = { skipped = true, failed = true, doubt = true }

-- Did it see the work done, or over for good? Then it need not start again.
local function is_over(process)
  local value = process.value
  return value == 0 or type(value) == "table" and ENOUGH[value.outcome] == true
end

local function world_of(seed, chance, on, healed)
  local clocks = {}
  for _, name in ipairs(NAMES) do
    clocks[name] = {
      offset_ms = chance:below(1000000),
      ppm = on.rate > 0 and chance:below(60001) - 30000 or 0,
      wall_ms = chance:below(7200000) - 3600000,
    }
  end
  return sim.new {
    seed = seed, clocks = clocks, timeout_ms = 3000, peers = chance:below(2) == 1,
    watch_sends_record = chance:below(2) == 1,
    fault = call_fault(chance, on, healed), watch_fault = watch_fault(chance, on, healed),
    commands = {
      serve = function()
        local term_ms = 50
        if hit(chance, on.stubborn, 200) then
          term_ms = false
        end
        local descendants = hit(chance, on.daemon, 200) and { { run_ms = 4000, term_ms = term_ms } } or nil
        return { run_ms = 3600000, term_ms = term_ms, descendants = descendants, start_ms = chance:below(30) }
      end,
      migrate = function()
        return {
          run_ms = 500 + chance:below(20000), code = chance:below(4) == 0 and 1 or 0, start_ms = chance:below(30),
          term_ms = not hit(chance, on.stubborn, 200) and 50,
        }
      end,
    },
  }
end

--- Keeps each replica alive: what has ended or was crashed starts again after a while.
local function keep_started(s, chance, name, main, processes, healed)
  processes[name] = s:start(name, main)
  local function look()
    local process = processes[name]
    local over = process.supervisor.dead
    if process.done and not process.ok then
      error(process.value, 0)
    elseif over and not is_over(process) then
      processes[name] = s:start(name, main)
    end
    s:after((healed() and 1000 or 1000 + chance:below(9000)) * 1000, nil, look)
  end
  s:after(chance:below(5000) * 1000, nil, look)
end

local function disturb(s, chance, on, name, processes, healed)
  local function heal_later(process, undo)
    s:after((1000 + chance:below(40000)) * 1000, nil, function() undo(process) end)
  end
  local function act()
    if healed() then
      return
    end
    local process = processes[name]
    if not process.supervisor.dead and not process.supervisor.frozen then
      if hit(chance, on.crash, 400) then
        process:crash { silent = chance:below(2) == 1 }
      elseif hit(chance, on.freeze, 400) then
        process:freeze "all"
        heal_later(process, process.thaw)
      elseif hit(chance, on.half_freeze, 400) then
        process:freeze "supervisor"
        heal_later(process, process.thaw)
      elseif hit(chance, on.partition, 400) then
        process:partition(({ "requests", "answers", "both" })[1 + chance:below(3)])
        heal_later(process, function(p) p:partition(nil) end)
      elseif hit(chance, on.refuse, 400) then
        process:partition "refused"
        heal_later(process, function(p) p:partition(nil) end)
      elseif hit(chance, on.stop, 400) then
        process:stop()
      end
    end
    s:after(chance:below(10000) * 1000, nil, act)
  end
  s:after(chance:below(10000) * 1000, nil, act)
end

local function strangers(s, chance, on, kind, healed)
  local name = kind == "Flow" and "x.s2" or "x"
  kind = kind == "Lease" and kind or "Once"
  local function act()
    if healed() then
      return
    end
    local record = s.store:get(kind, name)
    if record and hit(chance, on.foreign, 150) then
      record.status.note = tostring(s:time_ms())
      s.store:replace(record, record.status)
    elseif record and hit(chance, on.delete, 2000) then
      s.store:delete(record)
    end
    s:after((500 + chance:below(3000)) * 1000, nil, act)
  end
  s:after(1000000, nil, act)
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
local function garble(s, chance, healed)
  local function act()
    local record = s.store:get("Lease", "x")
    if record then
      record.status.waiters = garbled(chance, record.status)
      s.store:replace(record, record.status)
    end
    if not healed() then
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

--- A flow of four stages, the second and third side by side, run by the shipped runner.
function MAINS.Flow()
  local stages = {}
  for i, after in ipairs { false, { "s1" }, { "s1" }, { "s2", "s3" } } do
    stages[i] = { name = "s" .. i, after = after or nil, version = "v1", argv = { "migrate" }, grace = 3000 }
  end
  local defined = assert(flow.define("x", stages))
  return function(w)
    return runner.run {
      world = w, grace_ms = 3000, program = { items = { { type = "flow", name = "x", flow = defined } } },
      json = { array = function(list) return list end },
      exit_code = function() return 74 end,
      signal = function() return nil end,
    }
  end
end

-- Each stage starts only after a run of each that it comes after has ended with 0.
local function judge_order(s)
  local upstream = { s2 = { "s1" }, s3 = { "s1" }, s4 = { "s2", "s3" } }
  for _, run in ipairs(s.runs) do
    for _, name in ipairs(upstream[run.env.KONDUCTOR_STAGE] or {}) do
      local proof
      for _, other in ipairs(s.runs) do
        proof = proof or other.env.KONDUCTOR_STAGE == name and other.code == 0 and other.to_us
          and other.to_us <= run.from_us
      end
      if not proof then
        error(("ORDER: %s started at %d us before %s was done"):format(run.env.KONDUCTOR_STAGE, run.from_us, name), 0)
      end
    end
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
---@return table<string, integer> on  the strength of each fault
function M.play(kind, seed, options)
  options = options or {}
  local chance = random.new(seed, 7)
  local on = draw_faults(chance, KINDS, options.calm)
  local over = false
  local function healed()
    return over
  end
  local s = world_of(seed, chance, on, healed)
  s.on_log = options.on_log
  play.guard_fences(s)
  local processes = {}
  for i = 1, 2 + chance:below(#NAMES - 1) do
    keep_started(s, chance, NAMES[i], MAINS[kind](chance), processes, healed)
    disturb(s, chance, on, NAMES[i], processes, healed)
  end
  strangers(s, chance, on, kind, healed)
  if options.garbled then
    garble(s, chance, healed)
  end
  s:run_until(FAULTY_MS)
  over = true
  s:run_for(45000) -- what still waits to be healed
  local alive = lives_again(kind, s, processes)
  play.judge_runs(s, on.delete > 0)
  if kind == "Flow" and on.delete == 0 then
    judge_order(s)
  end
  if kind == "Careful" and on.delete == 0 and #s.runs > 1 then
    error(("TWICE: at-most-once work began %d times"):format(#s.runs), 0)
  end
  if on.delete == 0 and on.freeze == 0 then
    judge_history(s)
  end
  if not alive then
    error("DEAD: nobody works after all has healed", 0)
  end
  return s, on
end

return M
