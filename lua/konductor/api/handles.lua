--- k.once "name" and k.lease "name": a handle that takes a table of options as a declaration,
--- or does something now: k.once(name):run and :wait, k.lease(name):with and :try.
---
--- The drivers are loaded at the first hold: most starts find everything done and need none.

local declare = require "konductor.api.declare"
local duration = require "konductor.duration"
local exec = require "konductor.api.exec"
local exits = require "konductor.exits"
local failure = require "konductor.failure"
local schema = require "konductor.api.schema"
local script = require "konductor.script"
local spec = require "konductor.spec"
local ttl = require "konductor.ttl"

local M = {}

---@class konductor.UserHold     what a function under a hold is given
---@field token integer          fencing number: hand it to what the work writes to
---@field name string
---@field exec fun(self: konductor.UserHold, given: table): konductor.ExecResult

--- The user's function as the work of a hold: its commands run under it, and its results and
--- errors come back unchanged.
---@return fun(hold: konductor.Hold) work
---@return { values?: table, failure?: any, sentence?: string, trace?: string } outcome
function M.work(context, name, fn, more)
  local outcome = {}
  more = more or {}
  return function(hold)
    exec.enter(context, hold, more)
    local user = { token = hold.token, name = name, attempt = hold.attempt, version = hold.version }
    for key, value in pairs(more.fields or {}) do
      user[key] = value
    end
    function user.exec(_, given)
      return context.library.exec(given)
    end
    user.log = context.library.log
    local results = { xpcall(fn, function(value)
      outcome.failure, outcome.sentence = value, tostring(value)
      outcome.trace = not failure.is(value) and debug.traceback("", 2) or nil
    end, user) }
    if not results[1] then
      error(outcome.sentence, 0)
    end
    outcome.values = results
  end, outcome
end

--- Raises what the outcome of a driver means for a script that called it.
local function raise(context, place, title, result, outcome)
  local name = result.outcome
  if name == "stopped" and not exec.current(context) then
    exec.give_way(context, context.signal())
  elseif name == "stopped" then
    error(failure.new("cancelled", place .. ": the work was asked to end"), 0)
  elseif result.work and result.work.timed_out then
    local sentence = ("%s: %s: the function took too long and was ended"):format(place, title)
    error(failure.new("timeout", sentence, exits.TIMED_OUT), 0)
  elseif name == "ran" and failure.is(outcome.failure) and outcome.failure.code == "cancelled" then
    -- Nobody asked it to stop: its time was running out, so it was ended before the hold lapsed.
    error(failure.new("lost", ("%s: %s: the hold could not be renewed in time; the function was ended"):format(
      place, title)), 0)
  elseif outcome and outcome.failure ~= nil and name ~= "lost" and name ~= "superseded" then
    error(outcome.failure, 0)
  end
  local code = name == "error" and result.code or name
  local words = { superseded = "superseded", doubt = "in_doubt", timeout = "timeout", lost = "lost" }
  error(failure.new(words[name] or code, ("%s: %s: %s"):format(place, title, result.detail or name),
    name == "failed" and 1 or nil), 0)
end

--- The world for a driver that runs now: within a hold, that hold bounds it.
local function world_of(context)
  return require("konductor.api.nested").world(context, exec.current(context))
end

-- For one who does not wait: how far a store's clocks may be apart that judge a holder who may have vanished.
local function skew_of(context)
  return context.shortest_hold and context.shortest_hold() and ttl.SKEW_MS or 0
end

local function results_of(outcome)
  return unpack(outcome.values or { true }, 2, table.maxn(outcome.values or { true }))
end

-- Holds -------------------------------------------------------------------------------

---@class konductor.HoldKind   what differs between k.lease and a policy of the user's own
---@field what string          for people, "k.lease"
---@field kind string          of the record
---@field schema string
---@field run fun(world: konductor.World, options: table, checked: table): table  a driver

--- Runs fn under a hold. Nothing when the script is only looked at.
local function hold(self, given, fn, verb, wait)
  local context, name, of = self.context, self.name, self.of
  local title = ('%s("%s"):%s'):format(of.what, name, verb)
  local checked = schema.check(context, of.schema, given or {}, title)
  schema.expect_function(context, title, fn)
  if script.holds_back(context, title) then
    return nil
  end
  local place = script.where(context)
  local work, outcome = M.work(context, name, fn)
  if wait == nil then
    wait = checked.wait ~= false
  end
  local result = of.run(world_of(context), {
    name = name, ttl_ms = checked.ttl, work = work, wait = wait, timeout_ms = wait and checked.timeout or nil,
    run_timeout_ms = checked.run_timeout, grace_ms = checked.grace, stop_grace_ms = context.grace_ms,
    skew_ms = not wait and skew_of(context) or nil, on_state = context.on_state,
  }, checked)
  if result.outcome == "ran" and outcome.failure == nil and not result.work.timed_out then
    return result, outcome
  elseif result.outcome == "busy" then
    return result
  elseif result.outcome == "timeout" then
    result.detail = "not available within " .. duration.format(checked.timeout)
  end
  raise(context, place, title, result, outcome)
end

local Holds = {}

--- Waits for the hold, runs fn(hold) while it lasts, releases it when fn returns or raises.
--- Gives what fn returns.
function Holds:with(given, fn)
  local result, outcome = hold(self, given, fn, "with")
  if not result then
    return nil
  elseif not outcome then
    error(failure.new("timeout", ('%s: %s("%s"):with: %s'):format(script.where(self.context), self.of.what, self.name,
      result.detail or "held by another")), 0)
  end
  return results_of(outcome)
end

--- As with, but does not wait: false and a sentence when it is not to be had, else true and
--- what fn returns.
function Holds:try(given, fn)
  local result, outcome = hold(self, given, fn, "try", false)
  if not result then
    return false, "not tried"
  elseif not outcome then
    return false, result.detail
  end
  return true, results_of(outcome)
end

local LEASE = {
  what = "k.lease", kind = "Lease", schema = "with",
  run = function(world, options, checked)
    options.priority, options.preempt, options.spec = checked.priority, checked.preempt, spec.lease(checked)
    return require("konductor.elect").run(world, options)
  end,
}

-- Onces -------------------------------------------------------------------------------

local Once = {}

--- Runs fn(ctx) unless it is done for this version. True when it ran here, false when it had
--- been done before. Raises when it failed for good.
function Once:run(given, fn)
  local context, name = self.context, self.name
  local title = ('k.once("%s"):run'):format(name)
  local checked = schema.check(context, "once_run", given or {}, title)
  schema.complete_stage(checked)
  for _, sentence in ipairs(schema.stage_conflicts(checked, title)) do
    schema.refuse(context, sentence)
  end
  schema.expect_function(context, title, fn)
  context.program:runs("Once", name, checked.ttl)
  if script.holds_back(context, title) then
    return true
  end
  local place = script.where(context)
  local work, outcome = M.work(context, name, fn, { env = checked.env, cwd = checked.cwd })
  local options = spec.claim(context, name, checked)
  options.work, options.wait = work, checked.wait ~= false
  options.timeout_ms = options.wait and checked.wait_timeout or nil
  options.skew_ms = not options.wait and skew_of(context) or nil
  local result = require("konductor.claim").run(world_of(context), options)
  if result.outcome == "ran" then
    return true
  elseif result.outcome == "skipped" then
    return false
  elseif result.outcome == "failed" then
    result.detail = ("%s; when mended: koncli once reset %s"):format(result.detail, name)
    outcome.failure = nil
  end
  if result.outcome == "busy" then
    result.outcome = "timeout"
  end
  raise(context, place, title, result, outcome)
end

--- Waits until somebody else has executed it, for this version; runs nothing. Raises when it failed for good.
function Once:wait(given)
  local context, name = self.context, self.name
  local title = ('k.once("%s"):wait'):format(name)
  local checked = schema.check(context, "once_wait", given or {}, title)
  context.program:watches("Once", name)
  if script.holds_back(context, title) then
    return
  end
  local place = script.where(context)
  local result = require("konductor.await").run(world_of(context), {
    name = name, version = checked.version, timeout_ms = checked.timeout, on_state = context.on_state,
  })
  if result.outcome == "timeout" then
    result.detail = "not executed within " .. duration.format(checked.timeout)
  end
  if result.outcome ~= "done" then
    raise(context, place, title, result)
  end
end

-- Handles -----------------------------------------------------------------------------

--- A handle over `methods`; `declared` takes the table of a declaration, if the kind has one.
local function class(what, methods, declared)
  local meta = {}
  function meta.__index(self, key)
    local method = methods[key]
    if method == nil then
      schema.unknown(self.context, ("%s(%q)"):format(what, self.name), key, schema.words(methods))
    end
    return method
  end
  function meta.__call(self, given)
    local context = self.context
    local place = script.where(context)
    if not declared or not context.loading or exec.current(context) then
      error(('%s: %s("%s") is called here as a declaration; inside a function use %s("%s"):%s(options, fn)'):format(
        place, what, self.name, what, self.name, schema.words(methods)[1]), 0)
    elseif rawget(self, "valid") then
      declared(context, self.name, given, place)
    end
  end
  return meta
end

local function handles_of(context, meta, what, kind, of)
  return function(name)
    local valid = schema.name(context, script.where(context), name, what)
    if valid and kind then
      context.program:use(kind, name)
    end
    return setmetatable({ context = context, name = name, valid = valid, of = of }, meta)
  end
end

local LEASE_META = class("k.lease", Holds, declare.lease)
local ONCE_META = class("k.once", Once, declare.once)

--- k.policy { kind=, decide=, held=, renew=, release= }: handles like those of k.lease, over a
--- policy of the user's own.
local function policy(context)
  return function(given)
    local checked = schema.check(context, "policy", given, "k.policy")
    local what = ("k.policy %s"):format(tostring(checked.kind))
    local of = {
      what = what, kind = checked.kind, schema = "policy_with",
      run = function(world, options, more)
        options.spec = more.spec
        return require("konductor.policy").run(world, checked, options)
      end,
    }
    return handles_of(context, class(what, Holds), what, checked.kind, of)
  end
end

---@param context konductor.ScriptContext
---@param k table
function M.add(context, k)
  k.lease = handles_of(context, LEASE_META, "k.lease", "Lease", LEASE)
  k.once = handles_of(context, ONCE_META, "k.once", "Once")
  k.policy = policy(context)
end

return M
