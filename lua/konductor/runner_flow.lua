--- Runs one flow: watches the records of its stages, claims what flow.lua says, and ends
--- when every stage is done or the flow has failed.
---
--- The commonest start, that of a container which is restarted, finds every stage done. So the
--- records are read first, and watched only if something is left to do or to wait for.

local flow_policy = require "konductor.flow"
local once = require "konductor.once"
local patience = require "konductor.patience"
local spec = require "konductor.spec"

local M = {}

local KIND = "Once"
--- Longest time in one exchange with the store; between two of them a wish to stop is heard.
local EXCHANGE_MS = 5000

---@class konductor.FlowRun
---@field views table<string, konductor.View>   by name of stage
---@field ran table<string, boolean>            stages that this process did or told about
---@field failed table<string, integer>         fence of our own last failure, by stage
---@field stale table<string, boolean>          stages whose record is to be read again
---@field patience konductor.Patience

local function announce(run)
  local w, flow, json = run.w, run.flow, run.context.json
  local stages = {}
  for i, stage in ipairs(flow.stages) do
    local after = {}
    for j, name in ipairs(stage.after) do
      after[j] = name
    end
    stages[i] = { stage = stage.name, object = stage.object, version = stage.version, after = json.array(after) }
  end
  w.event("flow", { flow = flow.name, stages = json.array(stages) })
end

-- What the policy has to know to judge a stage; nothing is written from this.
local function me_of(run, stage)
  return {
    holder = run.w.holder, session = run.w.session, op = "", wall = "", ttl_ms = stage.hold or spec.CLAIM_TTL_MS,
    version = stage.version, mode = stage.mode, max_attempts = stage.retries and stage.retries + 1 or nil,
    backoff_ms = stage.backoff, failed = run.failed[stage.name],
  }
end

local function skip(run, stage, action, record)
  if not run.ran[stage.name] then
    run.ran[stage.name] = true
    local otherwise = stage.ttl and spec.kept_otherwise(spec.once(stage).ttl, record)
    if otherwise then
      run.w.log("warn", ("%s: %s"):format(stage.object, otherwise))
    end
    run.w.event("skip", {
      kind = KIND, name = stage.object, stage = stage.name, version = action.version, why = "executed",
    })
    if run.context.on_state then
      run.context.on_state "free" -- the line that counts down for it goes first
    end
    run.w.log("info", ("%s: %s; nothing to do"):format(stage.object, action.why))
  end
end

--- State of one stage for flow.decide; nil, word, sentence when its record is unreadable.
local function state_of(run, stage)
  local view = run.views[stage.name]
  local action = once.decide(view, me_of(run, stage), run.w.now())
  local act = action.act
  if act == "done" then
    skip(run, stage, action, view.record)
    return { state = "done" }
  elseif act == "wait" then
    local status = view.record.status
    local held = status.session ~= "" and status.session ~= nil or status.bound == "time"
    return {
      state = held and "held" or "free", until_ms = action.until_ms, by = held and status.executor or nil,
      why = action.why,
    }
  elseif act == "failed" then
    return { state = "failed", attempts = action.attempts, error = action.last_error }
  elseif act == "doubt" then
    return { state = "doubt", error = action.why }
  elseif act == "fail" then
    return nil, action.code, action.why
  end
  return { state = "free" }
end

local function states_of(run)
  local states = {}
  for _, stage in ipairs(run.flow.stages) do
    local state, code, detail = state_of(run, stage)
    if not state then
      return nil, code, ("%s: %s"):format(stage.name, detail)
    end
    states[stage.name] = state
  end
  return states
end

-- Whether a look at the records finds every stage done. A stage of which that cannot be said, for whatever reason, is
-- left to those who watch.
local function is_all_done(run)
  local done, records = {}, {}
  for i, stage in ipairs(run.flow.stages) do
    local record = run.w.get(KIND, stage.object)
    local action = record and once.decide({ record = record }, me_of(run, stage), run.w.now())
    if not action or action.act ~= "done" then
      return false
    end
    done[i], records[i] = action, record
  end
  for i, stage in ipairs(run.flow.stages) do
    skip(run, stage, done[i], records[i])
  end
  return true
end

local function open_views(run)
  for _, stage in ipairs(run.flow.stages) do
    local view, code, detail = require("konductor.observe").open(run.w, run.inbox, KIND, stage.object)
    if not view then
      return code, detail
    end
    run.views[stage.name], run.stale[stage.name] = view, true
  end
end

local function fail(run, code, detail)
  run.w.log("error", ('flow "%s": %s'):format(run.flow.name, detail or code))
  return run.context.exit_code(code) or run.context.exit_code "stuck"
end

-- Waits for one event or for a time. An exit code when the process was asked to stop.
local function pause(run, until_ms)
  local event, code = run.inbox:wait(until_ms)
  if not event then
    return code == "cancelled" and run.runner.exit_code(run.context, { outcome = "stopped" }) or nil
  elseif event.type == "stop" then
    return run.runner.exit_code(run.context, { outcome = "stopped" })
  end
  for _, stage in ipairs(run.flow.stages) do
    local mine, word = run.views[stage.name]:take(event, run.w.now()) -- one try: a read that fails is repeated below
    run.stale[stage.name] = run.stale[stage.name] or mine and word ~= nil
  end
end

-- After a request that failed: an exit code when it is not worth another.
local function bear(run, code, detail)
  if code == "cancelled" or detail == "cancelled" then
    return run.runner.exit_code(run.context, { outcome = "stopped" })
  end
  code, detail = run.patience:failed("get", code, detail)
  if code then
    return fail(run, code, detail)
  end
  local at = run.patience.again_at
  repeat
    code = pause(run, at)
  until code or not run.patience.refused or run.w.now() >= at
  return code
end

-- Reads the records that are not known as they are; an exit code when that is hopeless.
local function read(run)
  for _, stage in ipairs(run.flow.stages) do
    while run.stale[stage.name] do
      local ok, code, detail = run.views[stage.name]:refresh(run.w.now() + EXCHANGE_MS)
      if ok then
        run.stale[stage.name] = nil
        run.patience:well "get"
      else
        local exit = bear(run, code, detail)
        if exit then
          return exit
        end
      end
    end
  end
end

-- Claims and runs one stage; an exit code when that ends the process.
local function work(run, name)
  local stage, context = run.flow.by_name[name], run.context
  local options = spec.claim(context, stage.object, stage)
  local fields = { stage = stage.name, version = stage.version }
  options.work, run.outcome = run.runner.work_of(context, stage.object, stage, { fields = fields })
  options.seen = run.views[name] -- a view of its own would count a silent holder's time anew
  options.env, options.fields, options.wait = { KONDUCTOR_STAGE = stage.name }, fields, false
  options.patience = run.patience
  local result = require("konductor.claim").run(run.w, options)
  local outcome = result.outcome
  if outcome == "ran" or outcome == "skipped" then
    run.ran[name] = true
  elseif outcome == "retry" or outcome == "failed" then
    run.failed[name] = result.token
    run.runner.log_trace(run.w, run.outcome)
  elseif outcome == "stopped" or outcome == "superseded" then
    return run.runner.exit_code(context, result)
  elseif outcome == "error" then
    return fail(run, tostring(result.code), ("%s: %s"):format(name, result.detail or result.code))
  end
  local view = run.views[name]
  if result.record then
    view:see(result.record) -- what it wrote itself it need not read
    return nil
  end
  local before = view.changes
  run.stale[name] = true
  local exit = read(run)
  if exit then
    return exit
  elseif outcome == "busy" and view.changes == before then
    return pause(run, result.until_ms) -- nothing new to decide from yet
  end
end

-- Says what it waits for, again only when that has changed.
local function say(run, action, states)
  local context = run.context
  if action.why ~= run.said then
    run.said = action.why
    run.w.log("info", ("waiting: %s"):format(action.why), { until_ms = action.until_ms })
    for _, stage in ipairs(run.flow.order) do
      if states[stage.name].state == "held" then
        run.w.event("wait", { kind = KIND, name = stage.object, stage = stage.name, by = states[stage.name].by })
      end
    end
  end
  if context.on_state then
    context.on_state("waiting", action)
  end
end

local function drive(run)
  local w, flow, context = run.w, run.flow, run.context
  local code, detail = open_views(run)
  if code then
    return fail(run, code, detail)
  end
  while true do
    local exit = read(run)
    if exit then
      return exit
    end
    local states
    states, code, detail = states_of(run)
    if not states then
      return fail(run, code, detail)
    end
    local action = flow_policy.decide(flow, states, {}, w.now())
    if action.act == "main" then
      return nil
    elseif action.act == "fail" then
      w.log("error", action.because)
      return action.exit
    elseif action.act == "claim" then
      if context.on_state then
        context.on_state "free"
      end
      code = work(run, action.stage)
    else
      say(run, action, states)
      run.patience:stands()
      code = pause(run, action.until_ms)
    end
    if code then
      return code
    end
  end
end

-- Whether this process only tidies up from here on.
local function is_end(context, flow, code)
  local program = context.program
  local last = program.items[#program.items]
  return code ~= nil or not program.main and last.flow == flow
end

--- Runs a flow up to its main. *waits*
---@param context konductor.RunContext
---@param flow konductor.Flow
---@param runner table  runner.lua
---@return integer? exit_code  nil: every stage is done
function M.run(context, flow, runner)
  if #flow.stages == 0 then
    return nil
  end
  local w = context.world
  local run = {
    context = context, flow = flow, runner = runner, w = w, inbox = w.inbox(), views = {}, ran = {}, failed = {},
    stale = {},
  }
  run.patience = patience.new(w, function(level, line)
    w.log(level, ('flow "%s": %s'):format(flow.name, line))
  end, false)
  announce(run)
  local stop = w.stop(run.inbox)
  local code
  if not is_all_done(run) then
    code = drive(run)
  end
  if context.give_way and is_end(context, flow, code) then
    context.give_way()
  end
  stop:close()
  for _, view in pairs(run.views) do
    view:close()
  end
  run.inbox:close()
  if context.on_state then
    context.on_state "free"
  end
  return code
end

return M
