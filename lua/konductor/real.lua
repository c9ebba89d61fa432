--- The real world: the verbs of world.lua over the C core, and what surrounds them:
--- signals, the event log and those who listen to it.
---
--- Signals. The first TERM or INT asks every policy to stop, the second kills what still
--- runs. HUP and QUIT do the same while nothing runs; everything else, and these two while
--- a command runs, goes to the command's process group.

local core = require "konductor.core"
local text = require "konductor.text"

local M = {}

local FORWARDED = {
  "HUP", "QUIT", "USR1", "USR2", "WINCH", "CONT", "ALRM", "TSTP", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "IO", "PWR",
  "STKFLT",
}
for number = 1, 31 do -- the real-time signals, without those that the C library keeps
  FORWARDED[#FORWARDED + 1] = "RT" .. number
end
local STOPPING = { "TERM", "INT" }
local SIGHUP, SIGINT, SIGQUIT, SIGTERM = 1, 2, 3, 15

---@class konductor.RealOptions
---@field session string
---@field holder string
---@field open_store fun(): userdata?, string?, string?   called at the first use of the store, and again
---@field log konductor.Log
---@field events? userdata     an open file for the event log

---@class konductor.Control   what only the command line may do
---@field stop_signal? integer
---@field listeners (fun(name: string, fields: table))[]  told of every event
---@field request fun(given: table): table?, string?, string?  *waits*; the rest of the API, where the store has one
local Control = {}
Control.__index = Control

--- Asks every policy to stop; a second time kills what runs.
---@param signal integer
function Control:stop(signal)
  if self.stop_signal then
    for child in pairs(self.children) do
      child:stop(0)
    end
    return
  end
  self.stop_signal = signal
  if self.on_stop then
    self.on_stop()
  end
  for inbox in pairs(self.stops) do
    inbox:post { type = "stop", signal = signal }
  end
end

function Control:forward(signal)
  for child in pairs(self.children) do
    child:signal(signal)
  end
end

local function take_signals(control, inbox)
  while true do
    local event = inbox:wait()
    if not event then
      return
    end
    local number = event.signal
    local idle = next(control.children) == nil
    if number == SIGTERM or number == SIGINT or (idle and (number == SIGHUP or number == SIGQUIT)) then
      control:stop(number)
    else
      control:forward(number)
    end
  end
end

--- Takes over the signals of this process.
function Control:take_signals()
  local inbox, names = core.inbox(), {}
  for _, list in ipairs { STOPPING, FORWARDED } do
    for _, name in ipairs(list) do
      names[#names + 1] = name
    end
  end
  core.signals(inbox, names)
  core.task(nil, take_signals, self, inbox)
end

--- A line of the event log. The name of a program need not be UTF-8; JSON is.
local function encode(line)
  local encoded = core.json.encode(line)
  if not encoded then
    for key, value in pairs(line) do
      line[key] = type(value) == "string" and text.clip(value, #value * 4) or value
    end
    encoded = core.json.encode(line) or "{}"
  end
  return encoded .. "\n"
end

local function event_writer(given, control)
  local seq, pid = 0, core.pid()
  return function(name, fields)
    for _, listener in ipairs(control.listeners) do
      listener(name, fields)
    end
    if not given.events then
      return
    end
    seq = seq + 1
    local line = {
      event = name, t_us = core.now_us(), seq = seq, holder = given.holder, session = given.session, pid = pid,
    }
    for key, value in pairs(fields) do
      line[key] = value
    end
    local ok, _, detail = given.events:write(encode(line))
    if not ok and not control.events_failed then
      control.events_failed = true
      given.log:log("error", "the event log cannot be written and is incomplete: " .. detail)
    end
  end
end

-- One inbox for what a command tells, handed on to its owner, so that the list of running
-- commands is right whatever the owner does.
local function relay(control, source, target, child)
  while true do
    local event = source:wait()
    if not event then
      break
    end
    if event.type == "empty" then
      control.children[child] = nil
    end
    target:post(event)
    if event.type == "empty" then
      break
    end
  end
  source:close()
end

local STORE_VERBS = { "get", "list", "create", "replace", "delete", "watch", "peer" }
local READS = { get = true, list = true, request = true }

--- Waits for the answer of a store that answers later. A write that is no longer waited for may
--- be applied all the same.
local function settle(verb, value, ...)
  if value ~= core.pending then
    return value, ...
  end
  local inbox = ...
  local event, code = inbox:wait()
  inbox:close()
  if not event then
    if READS[verb] then
      return nil, code
    end
    return nil, "unknown", code
  elseif event.code == "denied" then
    return nil, event.code, require("konductor.kube.preflight").explain(event.detail)
  elseif event.code then
    return nil, event.code, event.detail
  end
  return event.value
end

local function add_store(world, control, open_store)
  local function add(to, verb)
    to[verb] = function(...)
      local store, code, detail = open_store()
      if not store then
        return nil, code, detail
      end
      return settle(verb, store[verb](store, ...))
    end
  end
  for _, verb in ipairs(STORE_VERBS) do
    add(world, verb)
  end
  add(control, "request")
end

local function add_spawn(world, control, keep)
  local environ = core.environ()
  function world.spawn(inbox, spec)
    local env, list = {}, {}
    for name, value in pairs(environ) do
      env[name] = value
    end
    env.KONDUCTOR_HOLDER = world.holder
    for name, value in pairs(spec.env or {}) do
      env[name] = value
    end
    for name, value in pairs(env) do
      list[#list + 1] = name .. "=" .. value
    end
    local source = core.inbox()
    local child, code, detail = core.spawn(source, {
      argv = spec.argv, env = list, cwd = spec.cwd, input = spec.input, capture = spec.capture,
      term_at = spec.term_at, kill_at = spec.kill_at, foreground = spec.foreground,
      keep = keep(),
    })
    if not child then
      source:close()
      return nil, code, detail
    end
    control.children[child] = true
    core.task(nil, relay, control, source, inbox, child)
    return child
  end
end

---@param given konductor.RealOptions
---@return konductor.World world
---@return konductor.Control control
function M.new(given)
  local control = setmetatable({
    stops = setmetatable({}, { __mode = "k" }), -- an inbox that nobody waits on needs no news
    children = {},
    listeners = {},
  }, Control)
  local writes = 0
  local world = { holder = given.holder, session = given.session }
  world.now, world.wall, world.inbox, world.task = core.now, core.wall, core.inbox, core.task

  function world.random(n)
    return tonumber(core.random_hex(6), 16) % n
  end

  function world.nonce()
    writes = writes + 1
    return given.session .. ":" .. writes
  end

  function world.sleep(ms)
    local _, code = core.inbox():wait(core.now() + ms)
    if code == "timeout" then
      return true
    end
    return nil, "cancelled"
  end

  function world.stop(inbox)
    local subscription = {}
    function subscription.close()
      control.stops[inbox] = nil
    end
    control.stops[inbox] = true
    if control.stop_signal then
      inbox:post { type = "stop", signal = control.stop_signal }
    end
    return subscription
  end

  function world.log(level, words, fields)
    given.log:log(level, words, fields)
  end

  world.event = event_writer(given, control)
  local store
  add_store(world, control, function()
    local code, detail
    store, code, detail = given.open_store()
    return store, code, detail
  end)
  -- The guards keep the liveness of this process, once it has a store that knows of such.
  add_spawn(world, control, function()
    local fd = store and store:fd() or -1
    return fd >= 0 and { fd } or {}
  end)
  return world, control
end

return M
