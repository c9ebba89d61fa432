--- What `run` and `plan` share: log, store, world and the context of a script.

local core = require "konductor.core"
local log = require "konductor.log"
local real = require "konductor.real"
local store = require "konductor.store"
local text = require "konductor.text"
local ttl = require "konductor.ttl"

local M = {}

-- Opening may wait for credentials. A task that comes meanwhile waits for the one that opens.
local function await(waiters)
  local inbox = core.inbox()
  waiters[inbox] = true
  local event, code = inbox:wait()
  waiters[inbox] = nil
  return event ~= nil, code
end

--- Opens the store at its first use, so that a script which needs none runs without one. The second function gives
--- it if it has been opened.
---@param open fun(): userdata?, string?, string?
local function lazy_store(open)
  local opened, code, detail, waiters
  local function get()
    if waiters then
      local ok, why = await(waiters)
      if not ok then
        return nil, why
      end
      return get()
    elseif not opened and not code then
      waiters = {}
      opened, code, detail = open()
      local ended = waiters
      waiters = nil
      for inbox in pairs(ended) do
        inbox:post { type = "opened" }
      end
      if code == "cancelled" then -- says nothing of the store; whoever comes next may have more time
        code = nil
        return nil, "cancelled", detail
      end
    end
    return opened, code, detail
  end
  return get, function()
    return opened
  end
end

-- Loaded by the script that asks for it: koncli has none.
local function make_library(context)
  return require("konductor").new(context)
end

local function system()
  return { read_file = core.read_file, decode_yaml = core.yaml.decode }
end

local MAX_HOLDER = 253

--- Name of this replica, for people. It goes into records and logs, so it must be text.
local function holder_of(options, environ)
  local holder, from = options.holder, "--holder"
  if not holder then
    holder, from = environ.KONDUCTOR_HOLDER_ID, "KONDUCTOR_HOLDER_ID"
  end
  if not holder or holder == "" then
    return core.hostname()
  elseif text.clip(holder, MAX_HOLDER) ~= holder then
    return nil, ("%s: a name is UTF-8 without control characters, of at most %d bytes"):format(from, MAX_HOLDER)
  end
  return holder
end

--- The first of these options that was given without a value.
---@param options table  of the command line
---@param names string[]
---@return string? sentence
function M.empty(options, names)
  for _, name in ipairs(names) do
    if options[name] == "" then
      return ("--%s is empty"):format(name)
    end
  end
end

---@param options table  of the command line
---@return table? setup { log, world, control, context, open_store, session, environ }
---@return string? sentence  what is wrong with the name of this replica
function M.new(options)
  local environ = options.environ or core.environ()
  local holder, sentence = holder_of(options, environ)
  if not holder then
    return nil, sentence
  end
  local session = core.random_hex(16)
  local level = options.verbose and "debug" or options.quiet and "error" or options.log_level
  local logger = log.new { level = level, format = options.log_format, holder = holder }
  local choice
  local function choose()
    local code, detail
    if not choice then
      choice, code, detail = store.choose(options, environ, system())
    end
    return choice, code, detail
  end
  local world, control
  local open_store, opened_store = lazy_store(function()
    local chosen, code, detail = choose()
    if not chosen then
      return nil, code, detail
    end
    local opened
    opened, code, detail = store.open(chosen, session, world)
    if opened and chosen.note then
      logger:log("info", chosen.note)
    end
    return opened, code, detail
  end)
  world, control = real.new {
    session = session, holder = holder, open_store = open_store, log = logger, events = options.event_file,
  }
  local context = {
    world = world, environ = environ, command = options.command, json = core.json, exit_code = core.exit_code,
    read_file = core.read_file, make = make_library, planning = false, grace_ms = 25000,
    signal = function() return control.stop_signal end,
  }
  function context.shortest_hold()
    local chosen = not options.offline and choose()
    if chosen and chosen.connection then
      return ttl.SERVER_MIN_MS, chosen.place
    end
  end
  return {
    log = logger, world = world, control = control, context = context, choose = choose, open_store = open_store,
    opened_store = opened_store, environ = environ, session = session, holder = holder,
  }
end

return M
