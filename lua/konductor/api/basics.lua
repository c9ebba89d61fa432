--- The small parts of the library: environment, time, log, durations, JSON, the store.

local duration = require "konductor.duration"
local exec = require "konductor.api.exec"
local failure = require "konductor.failure"
local schema = require "konductor.api.schema"
local script = require "konductor.script"
local text = require "konductor.text"

local M = {}

--- k.env(name [, default]): without a default the variable must be set.
local function env(context)
  return function(name, ...)
    if type(name) ~= "string" or name == "" then
      schema.refuse(context, "k.env expects the name of a variable")
    end
    local value = context.environ[name]
    if value ~= nil and value ~= "" then
      return value
    elseif select("#", ...) > 0 then
      return (...)
    end
    local built_in = (context.chunkname or ""):match "^=(@.*)"
    local hint
    if context.sealed then
      hint = ("a simulation has those of -e: -e %s=..."):format(name)
    elseif built_in then
      hint = ("konductor help %s tells what it is"):format(built_in)
    else
      hint = ('set it, or give a default: k.env("%s", "...")'):format(name)
    end
    schema.refuse(context, ("the environment variable %s is not set; %s"):format(name, hint))
    return ""
  end
end

local function sleep(context)
  return function(given)
    local ms = schema.duration(context, "k.sleep", given)
    if script.holds_back(context, "k.sleep") or not ms then
      return
    end
    local w, current = context.world, exec.current(context)
    local inbox = w.inbox()
    local stop = not current and w.stop(inbox) or nil
    local event, code = inbox:wait(w.now() + ms)
    if stop then
      stop:close()
    end
    inbox:close()
    if event then
      exec.give_way(context, event.signal)
    elseif code == "cancelled" then
      error(failure.new("cancelled", script.where(context) .. ": the work was asked to end"), 0)
    end
  end
end

local LEVELS = { "error", "warn", "info", "debug" }

--- k.log(text), k.log.warn(text)...
local function log(context)
  local functions = {}
  local function write(level, value, fields)
    script.say(context, level, tostring(value), fields)
  end
  for _, level in ipairs(LEVELS) do
    functions[level] = function(value, fields)
      write(level, value, fields)
    end
  end
  return setmetatable(functions, {
    __call = function(_, value, fields)
      write("info", value, fields)
    end,
    __index = function(_, key)
      schema.unknown(context, "k.log", key, LEVELS)
    end,
  })
end

--- The verbs of the store, for policies of the user's own. Each gives its value, or nil, a
--- word and a sentence.
local function store(context)
  local verbs = {}
  local function offer(verb, call)
    verbs[verb] = function(...)
      if script.holds_back(context, "k.store." .. verb) then
        return nil, "absent", "not asked yet"
      end
      return call(...)
    end
  end
  for _, verb in ipairs { "get", "list", "create", "replace", "delete" } do
    offer(verb, context.world[verb])
  end
  for _, verb in ipairs { "watch", "peer" } do
    offer(verb, function(box, ...)
      return context.world[verb](box.real, ...)
    end)
  end
  return setmetatable(verbs, {
    __index = function(_, key)
      local words = {}
      for word in text.spairs(verbs) do
        words[#words + 1] = word
      end
      schema.unknown(context, "k.store", key, words)
    end,
  })
end

--- An inbox whose wait ends the script when it is asked to stop.
local function inbox(context)
  return function()
    local w = context.world
    local real = w.inbox()
    local box = { real = real }
    local stop = not exec.current(context) and w.stop(real) or nil
    function box.wait(_, until_ms)
      if script.holds_back(context, "inbox:wait") then
        return nil, "timeout"
      end
      local event, code = real:wait(until_ms)
      if event and event.type == "stop" and stop then
        exec.give_way(context, event.signal)
      end
      return event, code
    end
    function box.post(_, event)
      real:post(event)
    end
    function box.close()
      real:close()
    end
    return box
  end
end

---@param context konductor.ScriptContext
---@param k table
function M.add(context, k)
  local w = context.world
  k.env, k.sleep, k.log, k.store, k.inbox = env(context), sleep(context), log(context), store(context), inbox(context)
  k.now, k.json, k.holder, k.session = w.now, context.json, w.holder, w.session
  function k.duration(given)
    return schema.duration(context, "k.duration", given)
  end
  k.format_duration = duration.format
end

return M
