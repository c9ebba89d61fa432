--- What an event log proves: a checker of histories, one rule a promise.
---
--- Pure. It takes the events of any number of processes (docs/reference/events.md), merges
--- them on the boot clock, and says where a promise was broken. End-to-end tests, chaos runs
--- and the simulator share it, so what is proved in one is the same sentence in the other.
---
--- A line is written after what it tells of, so lines of two processes may stand in another
--- order than the writes they report. No rule relies on that order: runs are compared by
--- their own start and stop, writes by the revision of the store, grants by their fence.
--- This file merges and indexes; the rules are in history_rules.lua.

local rules = require "konductor.history_rules"

local M = {}

-- So long after a thaw a run may still act, until its guard has been scheduled.
local THAW_US = 100000

---@class konductor.HistoryEvent
---@field event string     claim, start, stop...
---@field t_us integer     boot clock, microseconds
---@field session? string  absent only in lines that a test driver adds
---@field seq? integer     counts the lines of one session from 1
---@field [string] any

---@class konductor.HistoryOptions
---@field dead? table<string, integer>  session -> t_us at which its last process ended by SIGKILL
---@field tolerance_us? integer         how long two runners may overlap (a frozen child acts until its
---                                     deadman is scheduled again); default 0
---@field slack_us? integer             how much later than its effect a line of another process may be
---                                     written; default 1 s
---@field partial? boolean              the store was not empty when the history began
---@field open? boolean                 the processes still run: a start may lack its stop
---@field capacity? table<string, integer>  "Kind/name" -> how many may run at once, for kinds of a user's own
---@field at_most_once? table<string, boolean>  names of AtMostOnce objects, beside those whose events say so

---@class konductor.HistoryRun
---@field session string
---@field holder string
---@field fence integer
---@field version string
---@field since_us integer  its grant cannot have been written before
---@field uid? string        of the object that it was granted
---@field start_us integer
---@field end_us? integer    nil: it may still run
---@field code? integer      nil: no stop was written
---@field failed? string     word: the command could not be started, so nothing ran
---@field start integer      index of its event
---@field stop? integer      index of its event

---@class konductor.Violation
---@field rule string
---@field at integer         t_us
---@field text string        one sentence
---@field events integer[]   indexes into the merged events

--- Decodes the lines of one log. A torn last line (no newline: its writer was killed) is left out.
---@param text string
---@param decode fun(line: string): table?   JSON
---@return konductor.HistoryEvent[]? events
---@return string? mistake
function M.read(text, decode)
  local events, number = {}, 0
  for line, ending in text:gmatch("([^\n]*)(\n?)") do
    if line ~= "" then
      number = number + 1
      local ok, event = pcall(decode, line)
      if ok and type(event) == "table" and type(event.event) == "string" and type(event.t_us) == "number" then
        events[#events + 1] = event
      elseif ending == "\n" then
        return nil, ("line %d is no event: %s"):format(number, line:sub(1, 80))
      end
    end
  end
  return events
end

--- All events on one time line. Equal times: by session and seq, so that the order does not
--- depend on the order of the files.
local function merge(events)
  local merged = {}
  for i, event in ipairs(events) do
    merged[i] = { event = event, place = i }
  end
  table.sort(merged, function(a, b)
    local x, y = a.event, b.event
    if x.t_us ~= y.t_us then
      return x.t_us < y.t_us
    end
    local xs, ys = x.session or "", y.session or ""
    if xs ~= ys then
      return xs < ys
    end
    local xn, yn = x.seq or math.huge, y.seq or math.huge
    if xn ~= yn then
      return xn < yn
    end
    return a.place < b.place
  end)
  for i, each in ipairs(merged) do
    merged[i] = each.event
  end
  return merged
end

local function key_of(event)
  return event.kind .. "/" .. event.name
end

--- The list of all events that concern one object, and the runs on it.
local function object_of(ctx, event)
  local key = key_of(event)
  local object = ctx.object[key]
  if not object then
    object = { key = key, kind = event.kind, name = event.name, indexes = {}, runs = {}, active = {},
      version_of = {}, grant_of = {} }
    ctx.object[key] = object
    ctx.objects[#ctx.objects + 1] = object
  end
  return object
end

--- One hold may start several commands, one after the other or side by side; together they
--- are one runner, which acts from the first start to the last stop.
local function note_start(object, index, event)
  local id = event.session .. ":" .. event.fence
  local run = object.active[id]
  if run then
    run.depth = run.depth + 1
    return
  end
  local grant = object.grant_of[id] or {}
  run = {
    session = event.session, holder = event.holder or event.session, fence = event.fence,
    version = event.version or object.version_of[id] or "", start_us = event.t_us, start = index, depth = 1,
    since_us = grant.base and grant.base * 1000 or event.t_us, uid = grant.uid,
  }
  object.active[id] = run
  object.runs[#object.runs + 1] = run
end

local function note_stop(ctx, object, index, event)
  local id = event.session .. ":" .. event.fence
  local run = object.active[id]
  if not run then
    ctx.stray[#ctx.stray + 1] = index
    return
  end
  run.depth = run.depth - 1
  if run.depth == 0 then
    object.active[id] = nil
    -- A konductor that was stopped writes the line when it is continued; its guard knows when
    -- the last descendant ended.
    run.end_us, run.code, run.stop = event.ended_us or event.t_us, event.code, index
    run.failed = event.failed
  end
end

local function note_object(ctx, index, event)
  local object = object_of(ctx, event)
  object.indexes[#object.indexes + 1] = index
  if event.event == "claim" or event.event == "accept" then
    object.grant_of[event.session .. ":" .. event.fence] = event
  end
  if event.version and event.fence and event.session then
    object.version_of[event.session .. ":" .. event.fence] = event.version
  end
  if event.mode == "AtMostOnce" then
    object.at_most_once = true
  end
  if event.event == "start" then
    note_start(object, index, event)
  elseif event.event == "stop" then
    note_stop(ctx, object, index, event)
  end
end

--- What a replica says about its flow: for each object its version and what it waits for.
local function note_flow(ctx, event)
  if event.stages and event.session and event.flow then
    local flows = ctx.flows[event.session] or {}
    ctx.flows[event.session] = flows
    flows[event.flow] = event.stages
  end
end

--- A tree that was frozen whole, its guard included, does nothing meanwhile, and acts for a moment when it thaws:
--- from the freeze on only the fence protects.
local function end_at_freeze(ctx, run)
  for _, freeze in ipairs(ctx.frozen[run.session] or {}) do
    if run.end_us and run.end_us >= freeze.t_us and run.end_us <= freeze.until_us + THAW_US then
      run.end_us = freeze.t_us
    end
  end
end

local function index_events(events, opts)
  local ctx = {
    events = events, opts = opts, object = {}, objects = {}, flows = {}, dead = {}, frozen = {}, stray = {},
    violations = {}, tolerance_us = opts.tolerance_us or 0, slack_us = opts.slack_us or 1000000,
  }
  for session, t_us in pairs(opts.dead or {}) do
    ctx.dead[session] = t_us
  end
  for index, event in ipairs(events) do
    if event.event == "killed" then
      ctx.dead[event.session] = event.t_us
    elseif event.event == "frozen" then
      local list = ctx.frozen[event.session] or {}
      ctx.frozen[event.session] = list
      list[#list + 1] = event
    elseif event.event == "flow" or event.event == "main" then
      note_flow(ctx, event)
    end
    if event.kind and event.name then
      note_object(ctx, index, event)
    end
  end
  for _, object in ipairs(ctx.objects) do
    object.at_most_once = object.at_most_once or (opts.at_most_once or {})[object.name]
    for _, run in ipairs(object.runs) do
      run.end_us = run.end_us or ctx.dead[run.session]
      end_at_freeze(ctx, run)
    end
  end
  return ctx
end

local function count(ctx)
  local counts = { events = #ctx.events, sessions = 0, runs = 0, objects = #ctx.objects }
  local sessions = {}
  for _, event in ipairs(ctx.events) do
    counts[event.event] = (counts[event.event] or 0) + 1
    if event.session and not sessions[event.session] then
      sessions[event.session] = true
      counts.sessions = counts.sessions + 1
    end
  end
  for _, object in ipairs(ctx.objects) do
    counts.runs = counts.runs + #object.runs
  end
  return counts
end

--- Checks a history against every rule.
---@param events konductor.HistoryEvent[]  of any number of processes, in any order
---@param opts? konductor.HistoryOptions
---@return { violations: konductor.Violation[], counts: table<string, integer>, events: konductor.HistoryEvent[] }
---  `events` are merged; the violations' indexes point into it
function M.check(events, opts)
  local ctx = index_events(merge(events), opts or {})
  local origin = ctx.events[1] and ctx.events[1].t_us or 0
  --- Seconds since the history began, for texts.
  function ctx.clock(t_us)
    return ("%.6f s"):format((t_us - origin) / 1e6)
  end
  function ctx.violate(rule, at, indexes, text, ...)
    ctx.violations[#ctx.violations + 1] = { rule = rule, at = at, events = indexes, text = text:format(...) }
  end
  for _, rule in ipairs(rules) do
    rule(ctx)
  end
  table.sort(ctx.violations, function(a, b)
    if a.at ~= b.at then
      return a.at < b.at
    end
    return a.rule .. a.text < b.rule .. b.text
  end)
  return { violations = ctx.violations, counts = count(ctx), events = ctx.events }
end

return M
