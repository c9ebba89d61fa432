--- One simulated process: a konductor with its session, its tasks and inboxes, and the
--- world that its policies are given. It ends as processes do: when its first task
--- returns, or by a crash; then its guards kill what it had started, and once nothing of
--- it is left those who watch its session hear "gone".

local clock = require "konductor.sim.clock"
local link = require "konductor.sim.link"
local spawn = require("konductor.sim.child").spawn
local orphaned = require("konductor.sim.child").orphaned
local random = require "konductor.sim.random"

local M = {}

---@class konductor.sim.Inbox: konductor.Inbox
local Inbox = {}
Inbox.__index = Inbox

function Inbox:post(event)
  if self.closed then
    return
  end
  local task = self.waiter
  if task then
    self.waiter = nil
    self.sim:wake(task, event)
    return
  end
  self.last = self.last + 1
  self.queue[self.last] = event
end

function Inbox:wait(until_ms)
  local sim = self.sim
  local task = sim:suspendable()
  if self.waiter then
    error("another task waits on this inbox", 2)
  end
  if task.cancel_pending then
    task.cancel_pending = false
    return nil, "cancelled"
  end
  if self.first <= self.last then
    local event = self.queue[self.first]
    self.queue[self.first] = nil
    self.first = self.first + 1
    if self.first > self.last then
      self.first, self.last = 1, 0
    end
    return event
  end
  if self.closed then
    return nil, "cancelled"
  end
  self.waiter = task
  return sim:suspend_until(task, self, until_ms)
end

function Inbox:close()
  self.closed = true
  for i = 1, #self.subscriptions do
    self.subscriptions[i]:close()
  end
  self.queue, self.first, self.last = {}, 1, 0
  local task = self.waiter
  if task then
    self.waiter = nil
    self.sim:wake(task, nil, "cancelled")
  end
end

---@class konductor.sim.Process
---@field name string      the replica; also its holder name
---@field session string
---@field world konductor.World
---@field done boolean     the first task has returned or raised
---@field ok boolean       it returned
---@field value any        first value it returned, or the error with its traceback
---@field values table     all that it returned
---@field gone boolean     nothing of it is left, descendants included
local Process = {}
Process.__index = Process

local function announce_gone(process)
  local sim = process.sim
  process.gone = true
  if process.crashed then
    sim:record(process, "killed", {})
  end
  if process.silent or not sim.peers then
    return
  end
  for _, watch in ipairs(sim.peer_watches) do
    if watch.session == process.session then
      sim:after(sim.latency_ms * 1000, nil, function()
        if not watch.closed then
          watch.inbox:post { type = "gone", session = process.session }
        end
      end)
    end
  end
end

function Process:child_gone(child)
  for i = 1, #self.children do
    if self.children[i] == child then
      table.remove(self.children, i)
      break
    end
  end
  if self.supervisor.dead and #self.children == 0 and not self.gone then
    announce_gone(self)
  end
end

local function finish(process)
  local sim = process.sim
  process.supervisor.dead = true
  process.supervisor.pending = {}
  for i = #sim.watches, 1, -1 do
    if sim.watches[i].process == process then
      sim.watches[i]:close()
    end
  end
  if #process.children == 0 then
    announce_gone(process)
    return
  end
  local children = { unpack(process.children) }
  sim:after(0, process.machine, function()
    for i = 1, #children do
      orphaned(children[i])
    end
  end)
end

--- SIGKILL of konductor; its guards do the rest.
---@param how? {silent: boolean}  silent: nobody can tell its peers
function Process:crash(how)
  if self.supervisor.dead then
    return
  end
  self.crashed = true
  self.silent = how and how.silent
  finish(self)
end

--- Stops it as a debugger or a full machine does: "supervisor" leaves guard and child
--- running, "all" freezes everything of it.
---@param what "supervisor"|"all"
function Process:freeze(what)
  self.supervisor.frozen = true
  self.machine.frozen = what == "all"
  if what == "all" then
    for _, child in ipairs(self.children) do
      local pauses = child.run.pauses or {}
      child.run.pauses = pauses
      pauses[#pauses + 1] = { from_us = self.sim.t_us }
    end
  end
end

function Process:thaw()
  for _, child in ipairs(self.children) do
    local pauses = child.run.pauses
    if pauses and not pauses[#pauses].to_us then
      pauses[#pauses].to_us = self.sim.t_us
    end
  end
  for _, owner in ipairs { self.machine, self.supervisor } do
    owner.frozen = false
    local pending = owner.pending
    owner.pending = {}
    for i = 1, #pending do
      self.sim:due_now(pending[i])
    end
  end
  self.sim:unpark(self)
end

--- Asks it to stop, as SIGTERM does.
---@param signal? integer
function Process:stop(signal)
  self.stop_signal = signal or 15
  for _, watch in ipairs(self.stop_watches) do
    if not watch.closed then
      watch.inbox:post { type = "stop", signal = self.stop_signal }
    end
  end
end

--- Cuts it from the store: "requests" are lost, or "answers", or "both", or all is "refused", watches
--- too; nil heals.
---@param mode? "requests"|"answers"|"both"|"refused"
function Process:partition(mode)
  if mode then
    self.link = mode
  else
    link.heal(self.sim, self)
  end
end

local function world_of(process)
  local sim = process.sim
  local writes = 0
  local W = link.verbs(process)
  W.holder, W.session = process.name, process.session

  function W.now()
    return sim:local_ms(process)
  end

  function W.wall()
    return clock.rfc3339(sim.t_us + process.wall_offset_us)
  end

  function W.random(n)
    return process.chance:below(n)
  end

  function W.nonce()
    writes = writes + 1
    return process.session .. ":" .. writes
  end

  function W.inbox()
    return setmetatable({ sim = sim, process = process, queue = {}, first = 1, last = 0, subscriptions = {} }, Inbox)
  end

  function W.task(inbox, fn, ...)
    return sim:task(process, inbox, fn, ...)
  end

  function W.sleep(ms)
    local task = sim:suspendable()
    if task.cancel_pending then
      task.cancel_pending = false
      return nil, "cancelled"
    end
    local _, code = sim:suspend_until(task, nil, W.now() + ms)
    if code == "timeout" then
      return true
    end
    return nil, code
  end

  function W.stop(inbox)
    local watch = sim:subscribe(process.stop_watches, { process = process, inbox = inbox })
    if process.stop_signal then
      inbox:post { type = "stop", signal = process.stop_signal }
    end
    return watch
  end

  function W.peer(inbox, session)
    local watch = sim:subscribe(sim.peer_watches, { process = process, inbox = inbox, session = session })
    local other = sim.sessions[session]
    if sim.peers and other and other.gone and not other.silent then
      inbox:post { type = "gone", session = session }
    end
    return watch
  end

  function W.spawn(inbox, spec)
    return spawn(process, inbox, spec)
  end

  function W.log(level, text, fields)
    if sim.on_log then
      sim.on_log(process, level, text, fields)
    end
  end

  function W.event(name, fields)
    sim:record(process, name, fields)
  end

  return W
end

---@param sim konductor.sim.World
---@param name string
---@param clocks {offset_ms?: integer, ppm?: integer, wall_ms?: integer}
---@return konductor.sim.Process
function M.new(sim, name, clocks)
  sim.started = sim.started + 1
  local process = setmetatable({
    sim = sim,
    name = name,
    number = sim.started,
    session = sim.chance:hex(4),
    clock = { offset_us = (clocks.offset_ms or 0) * 1000, ppm = clocks.ppm or 0 },
    wall_offset_us = (clocks.wall_ms or 0) * 1000,
    chance = random.new(sim.seed, sim.started),
    supervisor = { pending = {} },
    machine = { pending = {} },
    children = {},
    stop_watches = {},
    lines = 0,
    done = false,
    gone = false,
  }, Process)
  process.world = world_of(process)
  sim.sessions[process.session] = process
  return process
end

M.finish = finish

return M
