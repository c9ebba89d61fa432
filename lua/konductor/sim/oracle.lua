--- Judges a world that was played, by what really ran in it and by the event log that was written.
---
--- It sees what no replica sees: true time, every child, every write. Each finding has a rule and a sentence; times
--- are those of the world, in seconds from its beginning.

local history = require "konductor.history"

local M = {}

---@class konductor.Finding
---@field rule "OVERLAP"|"FENCE"|"ORDER"|"TWICE"|"HISTORY"|"DEAD"|"SCRIPT"|"RAISED"
---@field at_us integer
---@field text string

local function finding(rule, at_us, text, ...)
  return { rule = rule, at_us = at_us, text = text:format(...) }
end

local function seconds(us)
  return us == math.huge and "the end" or ("%.3f s"):format(us / 1000000)
end

--- What a run worked on: a Lease or a Once; nil when it was under neither.
---@param run table  see sim/world.lua
---@return string?
function M.object_of(run)
  return run.env.KONDUCTOR_LEASE and "Lease/" .. run.env.KONDUCTOR_LEASE
    or run.env.KONDUCTOR_ONCE and "Once/" .. run.env.KONDUCTOR_ONCE or nil
end

-- The times in which a run really acted: not while it was frozen.
local function acts_of(run)
  local acts, from = {}, run.from_us
  for _, pause in ipairs(run.pauses or {}) do
    acts[#acts + 1] = { run = run, from_us = from, to_us = pause.from_us }
    from = pause.to_us or math.huge
  end
  acts[#acts + 1] = { run = run, from_us = from, to_us = run.to_us or math.huge }
  return acts
end

-- The runs of each object, and the objects in the order of their first run.
local function by_object(s)
  local runs, order = {}, {}
  for _, run in ipairs(s.runs) do
    local object = M.object_of(run)
    if object then
      if not runs[object] then
        runs[object] = {}
        order[#order + 1] = object
      end
      table.insert(runs[object], run)
    end
  end
  return runs, order
end

local function check_overlap(object, runs, found)
  local acts = {}
  for _, run in ipairs(runs) do
    for _, act in ipairs(acts_of(run)) do
      acts[#acts + 1] = act
    end
  end
  table.sort(acts, function(a, b)
    return a.from_us < b.from_us or a.from_us == b.from_us and a.to_us < b.to_us
  end)
  local last
  for _, act in ipairs(acts) do
    if last and last.run ~= act.run and last.to_us > act.from_us and act.to_us > act.from_us then
      found[#found + 1] = finding("OVERLAP", act.from_us, "%s: %s works from %s on, and %s until %s", object,
        act.run.replica, seconds(act.from_us), last.run.replica, seconds(last.to_us))
      return
    end
    if act.from_us < act.to_us and (not last or act.to_us > last.to_us) then
      last = act
    end
  end
end

-- Each run under a higher number than the one that began before it; commands of one hold share theirs.
local function check_numbers(object, runs, found)
  local last
  for _, run in ipairs(runs) do
    local fence = tonumber(run.env.KONDUCTOR_TOKEN)
    local older = last and (fence < last.fence or fence == last.fence and run.session ~= last.session)
    if older and run.from_us ~= run.to_us then
      found[#found + 1] = finding("FENCE", run.from_us, "%s: %s works with number %d after %d was given out", object,
        run.replica, fence, last.fence)
      return
    elseif not older then
      last = { fence = fence, session = run.session }
    end
  end
end

--- What really ran: no two at once on one object, and each under a higher number than the one before it.
---@param s konductor.sim.World
---@param found konductor.Finding[]  findings are added
---@param deleted? boolean  records were deleted under their holders, so neither can be promised
function M.judge_runs(s, found, deleted)
  local runs, order = by_object(s)
  for _, object in ipairs(deleted and {} or order) do
    check_numbers(object, runs[object], found)
    check_overlap(object, runs[object], found)
  end
end

--- Watches from now on that no write puts a lower fencing number into an object than it, or a deleted one of its name,
--- had before.
---@param s konductor.sim.World
---@param found konductor.Finding[]
function M.guard_fences(s, found)
  local highest = {}
  table.insert(s.store.listeners, function(change)
    local fence = change.verb == "replace" and change.object.status.fence
    if type(fence) ~= "number" then
      return
    end
    local object = change.kind .. "/" .. change.name
    if fence < (highest[object] or 0) then
      found[#found + 1] = finding("FENCE", s.t_us, "%s: number %d is written after %d", object, fence, highest[object])
    end
    highest[object] = math.max(fence, highest[object] or 0)
  end)
end

-- Work that is a function of the script is no command: of it the event log tells.
local function spans_of_function(s, object)
  local spans, open = {}, {}
  for _, event in ipairs(s.history) do
    if event.kind == "Once" and event.name == object then
      local key = event.session .. " " .. tostring(event.fence)
      if event.event == "start" then
        open[key] = { replica = event.holder, from_us = event.t_us }
        spans[#spans + 1] = open[key]
      elseif event.event == "stop" and open[key] then
        open[key].to_us, open[key].code = event.t_us, event.code
      end
    end
  end
  return spans
end

-- What was done for each stage, and when it was first done well: one that began earlier may have been frozen and end later.
local function work_of(s, flow)
  local runs, work = by_object(s), {}
  for _, stage in ipairs(flow.stages) do
    local spans = stage.fn and spans_of_function(s, stage.object) or runs["Once/" .. stage.object] or {}
    local done_us = math.huge
    for _, span in ipairs(spans) do
      if span.code == 0 and span.to_us then
        done_us = math.min(done_us, span.to_us)
      end
    end
    work[stage.name] = { first = spans[1], done_us = done_us }
  end
  return work
end

local function check_stage(stage, work, found)
  local first = work[stage.name].first
  for _, name in ipairs(stage.after) do
    local done_us = work[name].done_us
    if first and first.from_us < done_us then
      found[#found + 1] = finding("ORDER", first.from_us, "%s starts stage %s at %s, and %s is done at %s",
        first.replica, stage.name, seconds(first.from_us), name, done_us < math.huge and seconds(done_us) or "no time")
    end
  end
end

local function check_main(s, flow, work, found)
  for _, event in ipairs(s.history) do
    if event.event == "main" and event.phase == "start" and event.flow == flow.name then
      for _, stage in ipairs(flow.stages) do
        if work[stage.name].done_us > event.t_us then
          found[#found + 1] = finding("ORDER", event.t_us, "%s starts its main at %s, and stage %s is not done",
            event.holder, seconds(event.t_us), stage.name)
          return
        end
      end
    end
  end
end

--- No stage before those that it comes after are done, and no main before all of them are.
---@param s konductor.sim.World
---@param flows { name: string, stages: { name: string, object: string, after: string[], fn?: function }[] }[]
---@param found konductor.Finding[]
function M.judge_order(s, flows, found)
  for _, flow in ipairs(flows) do
    local work = work_of(s, flow)
    for _, stage in ipairs(flow.stages) do
      check_stage(stage, work, found)
    end
    check_main(s, flow, work, found)
  end
end

--- At-most-once work began once.
---@param s konductor.sim.World
---@param objects table<string, boolean>  "Once/NAME" of what is at most once
---@param found konductor.Finding[]
function M.judge_at_most_once(s, objects, found)
  local runs, order = by_object(s)
  for _, object in ipairs(order) do
    local first = runs[object][1]
    for _, run in ipairs(objects[object] and runs[object] or {}) do
      if run.env.KONDUCTOR_TOKEN ~= first.env.KONDUCTOR_TOKEN then -- one run of it may have many commands
        found[#found + 1] = finding("TWICE", run.from_us, "%s is at most once, and began again on %s", object,
          run.replica)
        break
      end
    end
  end
end

--- Whether a function of the script was somebody's work: that stands still when konductor does.
---@param s konductor.sim.World
---@return boolean
function M.has_functions(s)
  for _, event in ipairs(s.history) do
    if event.event == "start" and event.argv0 == "function" then
      return true
    end
  end
  return false
end

--- What the event logs prove. Not to be asked where records were deleted by hand, nor where somebody stood still whose
--- interval then was no act.
---@param s konductor.sim.World
---@param found konductor.Finding[]
---@param but? table<string, boolean>  rules that are not asked
function M.judge_history(s, found, but)
  for _, violation in ipairs(history.check(s.history, { open = true }).violations) do
    if not (but and but[violation.rule]) then
      found[#found + 1] = finding("HISTORY", violation.at, "%s: %s", violation.rule, violation.text)
    end
  end
end

--- A finding that somebody else came to.
---@param s konductor.sim.World
---@param rule string
---@param text string
---@return konductor.Finding
function M.finding(s, rule, text)
  return { rule = rule, at_us = s.t_us, text = text }
end

return M
