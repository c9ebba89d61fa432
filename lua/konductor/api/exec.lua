--- k.exec: a command from a script, supervised, and under the hold of the function that
--- calls it.
---
--- Which hold that is, is known by the task: the driver of a hold runs the user's function
--- in a task of its own, and enter() notes it.

local exits = require "konductor.exits"
local failure = require "konductor.failure"
local schema = require "konductor.api.schema"
local script = require "konductor.script"

local M = {}

---@class konductor.ExecResult
---@field code integer      exit code; 128+n after signal n; 124 when it took too long; 126, 127 as shells
---@field signal? integer
---@field output? string    with capture = true
---@field timed_out boolean

--- Notes that the running task works under a hold.
---@param context konductor.ScriptContext
---@param hold konductor.Hold
---@param defaults? { env?: table<string,string>, cwd?: string }  for the commands it starts
function M.enter(context, hold, defaults)
  context.holds[coroutine.running()] = { hold = hold, defaults = defaults or {} }
end

--- The hold of the running task, if any.
function M.current(context)
  return context.holds[coroutine.running()]
end

--- Ends the waiting call of a script that was asked to stop: its task never goes on.
local function give_way(context, signal)
  context.stopped(signal)
end

M.give_way = give_way

local function spec_of(given, defaults)
  local env = {}
  for _, source in ipairs { defaults.env or {}, given.env or {} } do
    for name, value in pairs(source) do
      env[name] = value
    end
  end
  return {
    argv = given.argv, env = env, cwd = given.cwd or defaults.cwd, input = given.input, capture = given.capture,
  }
end

--- Follows a command to its end. A stop or a lost hold ends it; its owner is told after that.
local function follow(context, inbox, child, given, timeout_ms)
  local w = context.world
  local result = { timed_out = false }
  local timeout_at = timeout_ms and w.now() + timeout_ms
  while true do
    local event, code = inbox:wait(timeout_at)
    if not event and code == "timeout" then
      result.timed_out, timeout_at = true, nil
      child:stop(given.grace)
    elseif not event then
      result.cancelled = true
    elseif event.type == "stop" then
      child:stop(result.stopped and 0 or context.grace_ms)
      result.stopped = event.signal
    elseif event.type == "failed" then
      result.code, result.detail, result.word = exits.of_failure(event.code), event.detail, event.code
      return result
    elseif event.type == "exit" then
      result.code, result.signal, result.output = event.code, event.signal, event.output
      return result
    end
  end
end

local function sentence_of(place, argv, result)
  local what = ("%s: %s"):format(place, argv[1])
  if result.timed_out then
    return what .. " took too long and was stopped"
  elseif result.detail then
    return ("%s: %s"):format(place, result.detail)
  elseif result.signal then
    return ("%s was ended by signal %d"):format(what, result.signal)
  end
  return ("%s exited with %d"):format(what, result.code)
end

local function run(context, given)
  local w, current = context.world, M.current(context)
  local inbox = w.inbox()
  local stop = not current and w.stop(inbox) or nil
  local owner = current and current.hold
  local spec = spec_of(given, current and current.defaults or {})
  local child, code, detail
  if owner then
    child, code, detail = owner:spawn(inbox, spec)
  else
    child, code, detail = w.spawn(inbox, spec)
  end
  local result
  if child then
    result = follow(context, inbox, child, given, given.timeout)
  else
    result = { code = 70, detail = detail, timed_out = false, word = code }
  end
  if stop then
    stop:close()
  end
  inbox:close()
  return result
end

--- k.exec(argv and options in one table). *waits*
---@param context konductor.ScriptContext
---@return fun(given: table): konductor.ExecResult
function M.new(context)
  return function(given)
    local checked = schema.check(context, "exec", given, "k.exec")
    if script.holds_back(context, "k.exec " .. (checked.argv and checked.argv[1] or "")) then
      return { code = 0, output = "", timed_out = false }
    end
    local place = script.where(context)
    local result = run(context, checked)
    if result.stopped then
      give_way(context, result.stopped)
    elseif result.cancelled or result.word == "lost" then
      error(failure.new("cancelled", place .. ": the work was asked to end"), 0)
    end
    if result.timed_out then
      result.code = exits.TIMED_OUT
    end
    if checked.check and (result.code ~= 0 or result.detail) then
      error(failure.new("exit", sentence_of(place, checked.argv, result), result.code), 0)
    end
    return {
      code = result.code, signal = result.signal, output = result.output, timed_out = result.timed_out,
      error = result.detail,
    }
  end
end

return M
