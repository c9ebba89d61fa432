--- The in-memory world: a deterministic machine for policies and for their tests.
---
--- One heap of timers, one queue of ready tasks, one store; replicas are processes with
--- clocks of their own. Nothing happens but inside run_until. The same seed and the same
--- script of faults give the same history.
---
---   local s = sim.new { seed = 1, commands = { migrate = { run_ms = 2000 } } }
---   local a = s:start("a", function(w) return claim.run(w, { ... }) end)
---   s:run_until(function() return #s.runs == 1 end)
---   a:crash()

local clock = require "konductor.sim.clock"
local heap = require "konductor.sim.heap"
local link = require "konductor.sim.link"
local process_of = require "konductor.sim.process"
local random = require "konductor.sim.random"
local store = require "konductor.sim.store"

local M = {}

--- Between two calls of pause.
local PAUSE_STEPS = 2048
--- So many turns at one instant mean a task that never waits for time.
local MAX_TURNS = 200000

---@class konductor.sim.Options
---@field seed? integer
---@field commands? table<string, table|fun(spec: table, replica: string): table>  see child.lua
---@field clocks? table<string, {offset_ms?: integer, ppm?: integer, wall_ms?: integer}>  by replica
---@field latency_ms? integer      one way to the store and of watches (default 0)
---@field timeout_ms? integer      after which an unanswered call is given up (default 3000)
---@field peers? boolean           the store knows of dead sessions (default true)
---@field watch_sends_record? boolean
---@field fault? fun(op: table): table?         see link.lua
---@field watch_fault? fun(replica: string, change: table): {lose?: boolean, delay_ms?: integer}?
---@field on_log? fun(process: table, level: string, text: string, fields: table?)
---@field on_event? fun(event: table)           instead of keeping the history
---@field pause? fun()                          called now and then, for who has more to do than this world; may raise

---@class konductor.sim.World
---@field t_us integer     true time
---@field history table[]  what policies wrote by world.event, in order; killed: a process died
---@field runs table[]     what really ran: argv, env, replica, session, from_us, to_us, code, by, and the
---  pauses in which it was frozen, each with from_us and to_us
---@field store konductor.sim.Store
local Sim = {}
Sim.__index = Sim

local OPTIONS = {
  seed = true, commands = true, clocks = true, latency_ms = true, timeout_ms = true, peers = true,
  watch_sends_record = true, fault = true, watch_fault = true, on_log = true, on_event = true, pause = true,
}

---@param options? konductor.sim.Options
---@return konductor.sim.World
function M.new(options)
  options = options or {}
  for name in pairs(options) do
    if not OPTIONS[name] then
      error("sim.new: unknown option " .. tostring(name), 2)
    end
  end
  local seed = options.seed or 1
  local self = setmetatable({
    seed = seed,
    chance = random.new(seed),
    commands = options.commands or {},
    clocks = options.clocks or {},
    latency_ms = options.latency_ms or 0,
    timeout_ms = options.timeout_ms or 3000,
    peers = options.peers ~= false,
    watch_sends_record = options.watch_sends_record or false,
    fault = options.fault,
    watch_fault = options.watch_fault,
    on_log = options.on_log,
    on_event = options.on_event,
    pause = options.pause,
    steps = 0,
    t_us = 0, calls = 0, started = 0, tasks = 0, turns = 0,
    timers = heap.new(),
    ready = {}, ready_first = 1, ready_last = 0, parked = {},
    watches = {}, peer_watches = {}, sessions = {},
    history = {}, runs = {},
  }, Sim)
  self.store = store.new {
    now_ms = function() return self:time_ms() end,
    hex = function() return self.chance:hex(4) end,
  }
  table.insert(self.store.listeners, function(change) link.announce(self, change) end)
  return self
end

--- True time in ms; the store's own clock.
function Sim:time_ms()
  return math.floor(self.t_us / 1000)
end

---@return integer ms  what the boot clock of a process shows
function Sim:local_ms(process)
  return clock.read_ms(self.t_us, process.clock)
end

--- A process without a first task: it lives until it is crashed.
---@param name string
function Sim:boot(name)
  return process_of.new(self, name, self.clocks[name] or {})
end

--- Starts a process that runs fn(world), and ends when it returns.
---@param name string
---@param fn fun(world: konductor.World): any
---@return konductor.sim.Process
function Sim:start(name, fn)
  local process = self:boot(name)
  process.main = self:task(process, nil, fn, process.world)
  return process
end

--- Runs fn once, delay_us from now, unless its owner has died; while the owner is frozen
--- it waits for the thaw. No owner: the world itself.
function Sim:after(delay_us, owner, fn)
  local timer = { at = self.t_us + delay_us, owner = owner, run = fn }
  self.timers:add(timer)
  return timer
end

--- The same at a time of the process's boot clock.
function Sim:at_local(process, ms, owner, fn)
  local at = math.max(clock.true_us(ms, process.clock), self.t_us)
  local timer = { at = at, owner = owner, run = fn }
  self.timers:add(timer)
  return timer
end

function Sim:forget(timer)
  if timer then
    timer.forgotten = true
    self.timers:remove(timer)
  end
end

function Sim:due_now(timer)
  if not timer.forgotten then
    timer.at = self.t_us
    self.timers:add(timer)
  end
end

local Subscription = {}
Subscription.__index = Subscription

function Subscription:close()
  if self.closed then
    return
  end
  self.closed = true
  local list = self.list
  for i = 1, #list do
    if list[i] == self then
      table.remove(list, i)
      return
    end
  end
end

function Sim:subscribe(list, watch)
  watch.list = list
  setmetatable(watch, Subscription)
  list[#list + 1] = watch
  local of_inbox = watch.inbox.subscriptions
  for i = #of_inbox, 1, -1 do
    if of_inbox[i].closed then
      table.remove(of_inbox, i)
    end
  end
  of_inbox[#of_inbox + 1] = watch
  return watch
end

local Task = {}
Task.__index = Task

function Task:cancel()
  if self.finished then
    return
  end
  if not self.cancellable then
    self.cancel_pending = true
    return
  end
  if self.inbox_waited then
    self.inbox_waited.waiter = nil
  end
  self.process.sim:wake(self, nil, "cancelled")
end

function Sim:task(process, inbox, fn, ...)
  self.tasks = self.tasks + 1
  local task = setmetatable({
    id = self.tasks, process = process, done_inbox = inbox, arguments = { n = select("#", ...), ... },
    co = coroutine.create(fn), suspended = true,
  }, Task)
  local timer = { owner = process.supervisor }
  timer.run = function()
    if task.inbox_waited then
      task.inbox_waited.waiter = nil
    end
    self:wake(task, nil, "timeout")
  end
  task.timer = timer
  self:wake(task)
  return task
end

--- The running task, which may wait.
function Sim:suspendable()
  local task = self.current
  if not task then
    error("only a task may wait", 3)
  elseif coroutine.running() ~= task.co then -- in the words of core/inbox.c
    error("wait is only possible in a task, not in a coroutine of the script's own", 3)
  end
  return task
end

function Sim:suspend(task)
  task.suspended = true
  return coroutine.yield()
end

function Sim:suspend_until(task, inbox, until_ms)
  task.cancellable = true
  task.inbox_waited = inbox
  if until_ms then
    local timer = task.timer
    timer.at = math.max(clock.true_us(until_ms, task.process.clock), self.t_us)
    timer.forgotten = false
    self.timers:add(timer)
  end
  return self:suspend(task)
end

--- Ends the wait of a task; a second end of the same wait is a bug of the world.
function Sim:wake(task, a, b, c)
  if task.process.supervisor.dead then
    return
  end
  assert(task.suspended, "woken twice")
  task.suspended = false
  task.cancellable = false
  task.inbox_waited = nil
  if task.timer then
    task.timer.forgotten = true
    self.timers:remove(task.timer)
  end
  task.a, task.b, task.c = a, b, c
  self.ready_last = self.ready_last + 1
  self.ready[self.ready_last] = task
end

local function ended(task, ok, ...)
  task.finished = true
  local process = task.process
  local value = ...
  if process.supervisor.dead then
    return
  end
  if not ok then
    value = debug.traceback(task.co, tostring(value))
  end
  if task == process.main then
    process.done, process.ok, process.value, process.values = true, ok, value, { ... }
    process_of.finish(process)
  elseif task.done_inbox then
    task.done_inbox:post { type = "done", task = task, ok = ok, value = ok and value or (...) }
  elseif not ok then
    error(value, 0)
  end
end

local function after_resume(sim, task, ok, ...)
  sim.current = nil
  if not ok or coroutine.status(task.co) == "dead" then
    ended(task, ok, ...)
  elseif not task.suspended then -- in the words of core/task.c
    ended(task, false, "coroutine.yield outside a coroutine of the script's own")
  end
end

local function resume(sim, task)
  sim.current = task
  local arguments = task.arguments
  if arguments then
    task.arguments = nil
    after_resume(sim, task, coroutine.resume(task.co, unpack(arguments, 1, arguments.n)))
  else
    after_resume(sim, task, coroutine.resume(task.co, task.a, task.b, task.c))
  end
end

local function turn(sim)
  local i = sim.ready_first
  local task = sim.ready[i]
  sim.ready[i] = nil
  sim.ready_first = i + 1
  if sim.ready_first > sim.ready_last then
    sim.ready_first, sim.ready_last = 1, 0
  end
  local supervisor = task.process.supervisor
  if supervisor.dead then
    return
  elseif supervisor.frozen then
    sim.parked[#sim.parked + 1] = task
    return
  end
  sim.turns = sim.turns + 1
  if sim.turns > MAX_TURNS then
    error("a task of " .. task.process.name .. " never waits for time", 0)
  end
  resume(sim, task)
end

function Sim:unpark(process)
  local parked = self.parked
  self.parked = {}
  for i = 1, #parked do
    local task = parked[i]
    if task.process == process then
      self.ready_last = self.ready_last + 1
      self.ready[self.ready_last] = task
    else
      self.parked[#self.parked + 1] = task
    end
  end
end

local function fire(sim, timer)
  sim.timers:remove(timer)
  if timer.at > sim.t_us then
    sim.t_us = timer.at
    sim.turns = 0
  end
  local owner = timer.owner
  if owner and owner.dead then
    return
  elseif owner and owner.frozen then
    owner.pending[#owner.pending + 1] = timer
    return
  end
  timer.run()
end

--- Runs the world until cond() holds, or until true time `cond` in ms. False when it does
--- not come about within limit_ms (default one hour), or nothing more can happen.
---@param cond number|fun(): any
---@param limit_ms? integer  from now
---@return boolean
function Sim:run_until(cond, limit_ms)
  local timed = type(cond) == "number"
  local last_us = timed and cond * 1000 or self.t_us + (limit_ms or 3600000) * 1000
  while true do
    while self.ready_first <= self.ready_last do
      if not timed and cond() then
        return true
      end
      turn(self)
    end
    if not timed and cond() then
      return true
    end
    local timer = self.timers:first()
    if not timer or timer.at > last_us then
      if timed or timer then
        self.t_us = math.max(self.t_us, last_us)
      end
      return timed
    end
    fire(self, timer)
    self.steps = self.steps + 1
    if self.pause and self.steps % PAUSE_STEPS == 0 then
      self.pause()
    end
  end
end

--- Runs for so long.
---@param ms integer
function Sim:run_for(ms)
  return self:run_until(self:time_ms() + ms)
end

function Sim:record(process, name, fields)
  process.lines = process.lines + 1
  local event = { event = name, t_us = self.t_us, seq = process.lines,
    holder = process.name, session = process.session, pid = process.number }
  for field, value in pairs(fields) do
    event[field] = value
  end
  if self.on_event then
    self.on_event(event)
  else
    self.history[#self.history + 1] = event
  end
end

return M
