--- One world of one seed: replicas of a script, two minutes of faults, then everything heals and must come right.
---
---   local result = seed.play(script, 290, { replicas = 3 })
---   for _, finding in ipairs(result.found) do print(finding.rule, finding.text) end

local faults_of = require "konductor.sim.faults"
local oracle = require "konductor.sim.oracle"
local random = require "konductor.sim.random"
local replica = require "konductor.sim.replica"
local sim = require "konductor.sim.world"

local M = {}

local FAULTY_MS = 120000
--- What waits to be healed has come to it by then.
local HEALED_MS = 45000
--- How long it may take until all is well.
local SETTLE_MS = 600000
local MIN_REPLICAS, MORE_REPLICAS = 2, 5
M.MAX_REPLICAS = 100

--- Streams of chance beside those of the replicas, which are numbered from 1 in the order of their starts.
local FAULTS_STREAM = 1000007

--- Exit codes after which a start anew changes nothing: done, failed for good, the script's mistake, superseded, in
--- doubt.
local FINAL = { [0] = true, [1] = true, [65] = true, [76] = true, [77] = true }

---@class konductor.sim.Result
---@field seed integer
---@field found konductor.Finding[]
---@field replicas integer
---@field mistakes? string[]             of the script: then nothing else counts
---@field events integer                 lines that the replicas' event logs have
---@field runs integer                   commands that ran
---@field ms integer                     of simulated time
---@field hits table<string, integer>    faults by kind
---@field ends table<integer, integer>   replicas that came to their end, by exit code
---@field history table[]

---@class konductor.sim.Player
---@field seats table<string, konductor.sim.Seat>
---@field processes table<string, konductor.sim.Process>

local function start(player, name)
  local seat = {}
  local process
  process = player.s:start(name, replica.main(player.script, function() return process end, seat))
  player.seats[name], player.processes[name] = seat, process
end

-- As a kubelet does: what has ended or died starts again after a while, unless it has come to its end.
local function keep_started(player, name)
  local s, chance, faults = player.s, player.chance, player.faults
  start(player, name)
  local function look()
    local process = player.processes[name]
    local raised = player.seats[name].raised
    if process.done and not process.ok then
      table.insert(player.found, oracle.finding(s, "RAISED", ("%s: %s"):format(name, process.value)))
      return
    elseif raised then
      table.insert(player.found, oracle.finding(s, "SCRIPT", ("%s: %s"):format(name, raised)))
      return
    elseif process.supervisor.dead and not (process.done and FINAL[process.value]) then
      start(player, name)
    end
    s:after((faults.over and 1000 or 1000 + chance:below(9000)) * 1000, nil, look)
  end
  s:after(chance:below(5000) * 1000, nil, look)
end

local function program_of(player)
  for _, name in ipairs(player.names) do
    local seat = player.seats[name]
    if seat.program then
      return seat.program
    end
  end
end

local function is_led(s, lease)
  for i = #s.runs, 1, -1 do
    if s.runs[i].env.KONDUCTOR_LEASE == lease.name then
      return not s.runs[i].to_us
    end
  end
  return false
end

-- Everybody has come to its end or to its main, and the lease, if there is one, is led.
local function is_well(player)
  local goes_on = false
  for _, name in ipairs(player.names) do
    local process = player.processes[name]
    local over = process.done and FINAL[process.value]
    if not over and not player.seats[name].init_done then
      return false
    end
    goes_on = goes_on or not over
  end
  local program = goes_on and program_of(player)
  local lease = program and program.main and program.main.lease
  return not lease or is_led(player.s, lease)
end

--- Rules about records that are kept: of a Once with a ttl the collection, too, may be known to nobody.
local OF_KEPT_RECORDS = { O3 = true, F1 = true, F2 = true, F3 = true }

local function judge(player)
  local s, found, faults = player.s, player.found, player.faults
  local deleted = faults.hits.delete > 0
  local frozen = faults.hits.freeze > 0 or faults.hits.half_freeze > 0 and oracle.has_functions(s)
  oracle.judge_runs(s, found, deleted)
  local program = program_of(player)
  if program and not deleted then
    local flows, at_most_once = {}, {}
    for _, item in ipairs(program.items) do
      if item.flow then
        flows[#flows + 1] = item.flow
      end
      for _, once in ipairs(item.flow and item.flow.stages or { item }) do
        at_most_once["Once/" .. (once.object or "")] = once.mode == "AtMostOnce" or nil
      end
    end
    oracle.judge_order(s, flows, found)
    oracle.judge_at_most_once(s, at_most_once, found)
  end
  if not deleted and not frozen then
    oracle.judge_history(s, found, player.collects and OF_KEPT_RECORDS)
  end
end

-- Notes whether a Once is collected some day.
local function watch_ttls(player)
  table.insert(player.s.store.listeners, function(change)
    local is_new = change.verb == "create" and change.kind == "Once"
    player.collects = player.collects or is_new and change.object.spec.ttl ~= nil
  end)
end

local function result_of(player, seed)
  local mistakes, ends = nil, {}
  for _, name in ipairs(player.names) do
    local process = player.processes[name]
    mistakes = mistakes or player.seats[name].mistakes
    if process.done and FINAL[process.value] then
      ends[process.value] = (ends[process.value] or 0) + 1
    end
  end
  return {
    seed = seed, found = player.found, replicas = #player.names, mistakes = mistakes, events = #player.s.history,
    runs = #player.s.runs, ms = player.s:time_ms(), hits = player.faults.hits, history = player.s.history,
    ends = ends,
  }
end

local function new_player(script, seed, options)
  local chance = random.new(seed, FAULTS_STREAM)
  local faults = faults_of.new(chance, options.only)
  local names = {}
  for i = 1, options.replicas or MIN_REPLICAS + chance:below(MORE_REPLICAS) do
    names[i] = "r" .. i
  end
  local function behave(spec)
    return faults:command(spec.foreground == true)
  end
  local s = sim.new {
    seed = seed, clocks = faults:clocks(names), peers = chance:below(2) == 1, watch_sends_record = chance:below(2) == 1,
    fault = faults:of_calls(), watch_fault = faults:of_watches(), on_log = options.on_log,
    pause = options.pause, commands = setmetatable({}, { __index = function() return behave end }),
  }
  return {
    s = s, script = script, chance = chance, faults = faults, names = names, seats = {}, processes = {}, found = {},
  }
end

--- Plays one seed.
---@param script konductor.sim.Script
---@param seed integer
---@param options? {replicas?: integer, only?: table<string, boolean>, on_log?: function, pause?: fun()}
---  only: these kinds of faults; pause: see sim/world.lua
---@return konductor.sim.Result
function M.play(script, seed, options)
  local player = new_player(script, seed, options or {})
  local s, faults = player.s, player.faults
  oracle.guard_fences(s, player.found)
  watch_ttls(player)
  for _, name in ipairs(player.names) do
    keep_started(player, name)
    faults:disturb(s, function() return player.processes[name] end)
  end
  faults:strangers(s)
  s:run_until(1)
  if result_of(player, seed).mistakes then
    return result_of(player, seed)
  end
  s:run_until(FAULTY_MS)
  faults.over = true
  s:run_for(HEALED_MS)
  local well = s:run_until(function() return is_well(player) end, SETTLE_MS)
  judge(player)
  if not well then
    local text = "all has healed, and not everybody comes to its end or its main"
    table.insert(player.found, oracle.finding(s, "DEAD", text))
  end
  return result_of(player, seed)
end

return M
