--- A play for several replicas in the in-memory world, judged at its end by what really
--- ran (the world's own record of its children) and by the event log that was written.

local history = require "konductor.history"

local M = {}

local function object_of(run)
  return run.env.KONDUCTOR_LEASE and "Lease/" .. run.env.KONDUCTOR_LEASE
    or run.env.KONDUCTOR_ONCE and "Once/" .. run.env.KONDUCTOR_ONCE
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

local function check_overlap(object, acts)
  table.sort(acts, function(a, b) return a.from_us < b.from_us end)
  local last
  for _, act in ipairs(acts) do
    if last and last.run ~= act.run and last.to_us > act.from_us and act.to_us > act.from_us then
      error(("OVERLAP on %s: %s acts from %d us, %s until %s us"):format(object, act.run.replica, act.from_us,
        last.run.replica, tostring(last.to_us)), 0)
    end
    if act.from_us < act.to_us and (not last or act.to_us > last.to_us) then
      last = act
    end
  end
end

--- Raises when a write puts a lower fencing number into an object than it, or a deleted one
--- of its name, had before.
function M.guard_fences(s)
  local highest = {}
  table.insert(s.store.listeners, function(change)
    local fence = change.verb == "replace" and change.object.status.fence
    if fence then
      local object = change.kind .. "/" .. change.name
      if fence < (highest[object] or 0) then
        error(("FENCE of %s: %d written after %d"):format(object, fence, highest[object]), 0)
      end
      highest[object] = fence
    end
  end)
end

--- What really ran: no two at once on one object, and each under a higher number than the one
--- that began before it; neither can be promised where records are deleted under a holder.
function M.judge_runs(s, deleted)
  local acts, order, last = {}, {}, {}
  for _, run in ipairs(s.runs) do
    local object = object_of(run)
    if object then
      if not acts[object] then
        acts[object] = {}
        order[#order + 1] = object
      end
      for _, act in ipairs(acts_of(run)) do
        table.insert(acts[object], act)
      end
      local fence = tonumber(run.env.KONDUCTOR_TOKEN)
      local before = last[object]
      local older = before and (fence < before.fence or fence == before.fence and run.session ~= before.session)
      if older and not deleted and run.from_us ~= run.to_us then
        error(("FENCE of %s: %d on %s after %d"):format(object, fence, run.replica, before.fence), 0)
      elseif not older then
        last[object] = { fence = fence, session = run.session }
      end
    end
  end
  for _, object in ipairs(deleted and {} or order) do
    check_overlap(object, acts[object])
  end
end

--- Both judgements; raises with everything that is wrong.
function M.judge(s, options)
  M.judge_runs(s)
  local texts = {}
  local result = history.check(s.history, options)
  for _, violation in ipairs(result.violations) do
    texts[#texts + 1] = violation.rule .. ": " .. violation.text
  end
  if #texts > 0 then
    error(table.concat(texts, "\n"))
  end
  return result.counts
end

--- Runs until all those processes have returned; their values.
function M.finish(s, ...)
  local processes = { ... }
  local function all_done()
    for _, process in ipairs(processes) do
      if not process.done then
        return false
      end
    end
    return true
  end
  if not s:run_until(all_done) then
    error("some process never ended")
  end
  local values = {}
  for i, process in ipairs(processes) do
    if not process.ok then
      error(process.value)
    end
    values[i] = process.value
  end
  return unpack(values)
end

--- Replica names of what really ran, in order.
function M.runners(s)
  local names = {}
  for i, run in ipairs(s.runs) do
    names[i] = run.replica
  end
  return table.concat(names, " ")
end

--- Events of a name, in order.
function M.events(s, name)
  local found = {}
  for _, event in ipairs(s.history) do
    if event.event == name then
      found[#found + 1] = event
    end
  end
  return found
end

--- Writes of an object that were accepted, from now on.
function M.count_writes(s)
  local count = { n = 0, by = {} }
  table.insert(s.store.listeners, function(change)
    if change.verb == "replace" then
      count.n = count.n + 1
      local by = change.by or "holder"
      count.by[by] = (count.by[by] or 0) + 1
    end
  end)
  return count
end

return M
