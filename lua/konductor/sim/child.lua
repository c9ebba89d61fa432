--- Simulated commands and the guard above each of them.
---
--- How a command behaves is a closed table, given by sim.new{commands = ...} for argv[1]:
---   run_ms        how long it works (default 1000)
---   start_ms      from spawn to its first act
---   code          its exit code (default 0)
---   fails         "not_found" or "not_executable": it never starts
---   term_ms       how long it takes to die after TERM; false: it ignores TERM
---   term_code     exit code after TERM (default: ended by the signal, 143)
---   output        what it prints
---   descendants   list of { run_ms, term_ms }: daemons that outlive it, started with it
--- The guard obeys its deadman on the replica's own clock, though the supervisor above it is
--- frozen or dead, and kills the whole tree at once when the supervisor ends.

local M = {}

---@class konductor.sim.Child
local Child = {}
Child.__index = Child

local TERM, KILL = 15, 9

local function post(child, event)
  event.child = child
  child.inbox:post(event)
end

local function living(child)
  for i = 1, #child.tree do
    if child.tree[i].alive then
      return true
    end
  end
  return false
end

local function settle(child)
  if child.gone or living(child) then
    return
  end
  child.gone = true
  local sim = child.process.sim
  for _, name in ipairs { "term_timer", "kill_timer", "grace_timer" } do
    sim:forget(child[name])
  end
  child.run.to_us = sim.t_us
  post(child, { type = "empty", sure = not child.unsure, ended_us = sim.t_us })
  child.process:child_gone(child)
end

local function die(child, member, code, signal)
  if not member.alive then
    return
  end
  member.alive = false
  local sim = child.process.sim
  sim:forget(member.timer)
  if member == child.tree[1] then
    child.run.code = code
    local by = child.deadman and "deadman" or child.stopping and "stopped" or "own"
    child.run.by = by
    post(child, { type = "exit", code = code, signal = signal, by = by, output = child.output })
  end
  settle(child)
end

local function kill(child)
  for i = #child.tree, 1, -1 do
    die(child, child.tree[i], 128 + KILL, KILL)
  end
end

local function term_one(child, member)
  if not member.alive or member.terminating or member.term_ms == false then
    return
  end
  member.terminating = true
  local sim = child.process.sim
  sim:forget(member.timer)
  member.timer = sim:after((member.term_ms or 0) * 1000, child.process.machine, function()
    if member.term_code then
      die(child, member, member.term_code)
    else
      die(child, member, 128 + TERM, TERM)
    end
  end)
end

local function term(child)
  for i = 1, #child.tree do
    term_one(child, child.tree[i])
  end
end

--- Moves the deadman; nil disarms.
---@param term_at? number
---@param kill_at? number
function Child:arm(term_at, kill_at)
  local process = self.process
  local sim = process.sim
  sim:forget(self.term_timer)
  sim:forget(self.kill_timer)
  self.term_timer, self.kill_timer = nil, nil
  if self.gone then
    return
  end
  if term_at then
    self.term_timer = sim:at_local(process, term_at, process.machine, function()
      self.deadman = true
      term(self)
    end)
  end
  if kill_at then
    self.kill_timer = sim:at_local(process, kill_at, process.machine, function()
      self.deadman = true
      kill(self)
    end)
  end
end

---@param signal integer
function Child:signal(signal)
  local main = self.tree[1]
  if not main then
    return
  elseif signal == KILL then
    die(self, main, 128 + KILL, KILL)
  elseif signal == TERM or signal == 2 then
    term_one(self, main)
  end
end

--- TERM to the whole tree, KILL after the grace; again may only shorten it.
---@param grace_ms number
function Child:stop(grace_ms)
  if self.gone then
    return
  end
  local sim = self.process.sim
  local at = sim.t_us + grace_ms * 1000
  self.stopping = true
  term(self)
  if self.gone or self.grace_at and self.grace_at <= at then
    return
  end
  sim:forget(self.grace_timer)
  self.grace_at = at
  self.grace_timer = sim:after(grace_ms * 1000, self.process.machine, function() kill(self) end)
end

--- The supervisor has ended, however it ended.
function M.orphaned(child)
  child.deadman = true
  kill(child)
end

local function begin(child, behaviour)
  local sim = child.process.sim
  local machine = child.process.machine
  child.run.from_us = sim.t_us
  sim.runs[#sim.runs + 1] = child.run
  local function add(how, code)
    local member = { alive = true, term_ms = how.term_ms, term_code = how.term_code }
    child.tree[#child.tree + 1] = member
    member.timer = sim:after((how.run_ms or 1000) * 1000, machine, function() die(child, member, code) end)
  end
  add(behaviour, behaviour.code or 0)
  for _, how in ipairs(behaviour.descendants or {}) do
    add(how, 0)
  end
  post(child, { type = "started" })
end

--- world.spawn
---@param process table
---@param inbox konductor.Inbox
---@param spec konductor.SpawnSpec
function M.spawn(process, inbox, spec)
  local sim = process.sim
  local behaviour = sim.commands[spec.argv[1]] or { fails = "not_found" }
  if type(behaviour) == "function" then
    behaviour = behaviour(spec, process.name)
  end
  local child = setmetatable({
    process = process, inbox = inbox, tree = {}, output = spec.capture and (behaviour.output or "") or nil,
    run = { argv = spec.argv, env = spec.env or {}, replica = process.name, session = process.session },
  }, Child)
  if spec.kill_at and spec.kill_at <= sim:local_ms(process) then
    return nil, "lost", "the deadline has passed"
  end
  process.children[#process.children + 1] = child
  child:arm(spec.term_at, spec.kill_at)
  sim:after((behaviour.start_ms or 0) * 1000, process.machine, function()
    if child.gone then
      return
    end
    local over = child.deadman or process.supervisor.dead
    local fails = behaviour.fails or over and "lost" or child.stopping and "cancelled"
    if fails then
      post(child, { type = "failed", code = fails })
      settle(child)
    else
      begin(child, behaviour)
    end
  end)
  return child
end

return M
