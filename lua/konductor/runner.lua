--- Carries out what a script declared: its flows and onces in order, then the main.
---
--- Pure over the world, like the drivers that it calls: the same runner runs a script on a
--- real store and in the simulator. What claims and what leads is loaded when it has something
--- to do, so that a start with everything done does not pay for it.

local exits = require "konductor.exits"
local flows = require "konductor.runner_flow"
local spec = require "konductor.spec"

local M = {}

local SIGTERM = 15

---@class konductor.RunContext: konductor.ScriptContext
---@field program konductor.Program
---@field grace_ms integer                       for a wished stop
---@field exit_code fun(word: string): integer?  of errors.def
---@field signal fun(): integer?                 that asked this process to stop
---@field on_phase? fun(phase: "init_done"|"stopping")
---@field give_way? fun()                         before only tidying up is left: what ends this process has woken others
---  too, and they go on before it does

--- Exit code of an outcome of claim.lua or elect.lua that ends the process.
---@param context konductor.RunContext
---@param result { outcome: string, code?: integer|string }
---@return integer
function M.exit_code(context, result)
  local outcome = result.outcome
  if outcome == "stopped" then
    return 128 + (context.signal() or SIGTERM)
  elseif outcome == "failed" or outcome == "retry" then
    return 1
  end
  local words = {
    superseded = "superseded", doubt = "in_doubt", timeout = "timeout", busy = "timeout", lost = "lost",
  }
  return context.exit_code(words[outcome] or tostring(result.code)) or context.exit_code "stuck"
end

--- The work of a stage, once or lease as a driver takes it: a command, or the user's function.
---@param more { env?: table, fields?: table }
local function work_of(context, name, work, more)
  if work.fn then
    local handles = require "konductor.api.handles"
    return handles.work(context, name, work.fn, { env = work.env, cwd = work.cwd, fields = more.fields })
  end
  return { argv = work.argv, env = work.env, cwd = work.cwd, foreground = more.foreground }
end

M.work_of = work_of

--- Where in the script a function raised, for those who look closer.
---@param w konductor.World
---@param outcome? { trace?: string }
function M.log_trace(w, outcome)
  for line in (outcome and outcome.trace or ""):gmatch "[^\n]+" do
    w.log("debug", line)
  end
end

local function run_once(context, item)
  local options = spec.claim(context, item.object, item)
  local outcome
  options.work, outcome = work_of(context, item.object, item, {})
  local result = require("konductor.claim").run(context.world, options)
  M.log_trace(context.world, outcome)
  if result.outcome == "ran" or result.outcome == "skipped" then
    return nil
  end
  if result.outcome == "failed" then
    local sentence = 'once "%s" failed for good after %d %s: %s; when mended: koncli once reset %s'
    context.world.log("error", sentence:format(item.name, result.attempts,
      result.attempts == 1 and "attempt" or "attempts", result.last_error or "no error was recorded", item.object))
  elseif result.outcome == "doubt" then
    local sentence = 'once "%s": %s; look, then say which: koncli once resolve %s --ran or --not-run'
    context.world.log("error", sentence:format(item.name, result.detail, item.object))
  elseif result.outcome ~= "stopped" then
    context.world.log("error", ('once "%s": %s'):format(item.name, result.detail or result.outcome))
  end
  return M.exit_code(context, result)
end

-- Main ---------------------------------------------------------------------------------

-- A wish to stop: the signal that konductor got goes to the child, and the rest of the grace
-- is the child's.
local function pass_on_stop(context, child, signal)
  if signal == SIGTERM then
    child:stop(context.grace_ms)
    return nil
  end
  child:signal(signal)
  return context.world.now() + context.grace_ms
end

--- Follows the main command until the last of its descendants is gone.
---@return integer exit_code
local function follow_main(context, inbox, child, announce)
  local code, kill_at
  while true do
    local event = inbox:wait(kill_at)
    if not event then
      kill_at = nil
      child:stop(0)
    elseif event.type == "stop" then
      kill_at = pass_on_stop(context, child, event.signal or SIGTERM)
    elseif event.type == "started" then
      announce(event.pid)
    elseif event.type == "failed" then
      context.world.log("error", "main: " .. event.detail)
      code = exits.of_failure(event.code)
    elseif event.type == "exit" then
      code = event.code
      child:stop(context.grace_ms)
    elseif event.type == "empty" then
      return code
    end
  end
end

--- Runs the main of a flow, or the command behind "--": under the guard, without a hold.
local function run_main(context, main)
  local w = context.world
  local work = main.work
  local fields = { flow = main.flow and main.flow.name, argv0 = work.argv[1] }
  local function tell(phase, more)
    local event = { phase = phase }
    for _, source in ipairs { fields, more or {} } do
      for key, value in pairs(source) do
        event[key] = value
      end
    end
    w.event("main", event)
  end
  local inbox = w.inbox()
  local stop = w.stop(inbox)
  local child, word, detail = w.spawn(inbox, { argv = work.argv, env = work.env, cwd = work.cwd, foreground = true })
  if not child then
    w.log("error", "main: " .. detail)
    return context.exit_code(word) or context.exit_code "system"
  end
  local code = follow_main(context, inbox, child, function(pid)
    tell("start", { pid = pid })
    w.log("info", ("main: started %s%s"):format(work.argv[1], pid and (", pid %d"):format(pid) or ""))
  end)
  stop:close()
  inbox:close()
  tell("stop", { code = code })
  w.log("info", ("main: ended with %d"):format(code))
  return code
end

local function run_lease(context, main)
  local w, lease = context.world, main.lease
  local work, outcome = work_of(context, lease.name, main.work, { foreground = true })
  local result = require("konductor.elect").run(w, {
    name = lease.name, ttl_ms = lease.ttl, work = work, again = true, run_timeout_ms = lease.timeout,
    grace_ms = lease.grace, stop_grace_ms = context.grace_ms, priority = lease.priority, preempt = lease.preempt,
    reelect_after_ms = lease.reelect_after, spec = spec.lease(lease), on_state = context.on_state,
  })
  if outcome and outcome.failure ~= nil and result.outcome == "ran" then
    w.log("error", ("%s: %s"):format(lease.name, outcome.sentence))
    M.log_trace(w, outcome)
    return 1
  elseif result.outcome == "ran" or (result.outcome == "stopped" and type(result.code) == "number") then
    if result.code ~= 0 and result.detail then
      w.log("error", ("%s: %s"):format(lease.name, result.detail))
    end
    return result.code
  elseif result.outcome ~= "stopped" then
    w.log("error", ("%s: %s"):format(lease.name, result.detail or result.outcome))
  end
  return M.exit_code(context, result)
end

--- Runs everything. *waits*
---@param context konductor.RunContext
---@return integer exit_code
function M.run(context)
  local program = context.program
  for _, item in ipairs(program.items) do
    local code
    if item.type == "flow" then
      code = flows.run(context, item.flow, M)
    else
      code = run_once(context, item)
    end
    if code then
      return code
    end
  end
  if context.on_phase then
    context.on_phase "init_done"
  end
  local main = program.main
  if not main then
    return 0
  elseif context.signal() then
    return 128 + context.signal()
  elseif main.type == "lease" then
    return run_lease(context, main)
  end
  return run_main(context, main)
end

return M
