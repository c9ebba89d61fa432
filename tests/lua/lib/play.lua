--- A play for several replicas in the in-memory world, judged at its end by what really
--- ran (the world's own record of its children) and by the event log that was written.

local history = require "konductor.history"
local oracle = require "konductor.sim.oracle"

local M = {}

local function raise_first(found)
  if found[1] then
    error(("%s %s"):format(found[1].rule, found[1].text), 0)
  end
end

--- Raises when a write puts a lower fencing number into an object than it, or a deleted one of its name, had before.
function M.guard_fences(s)
  local found = {}
  oracle.guard_fences(s, found)
  table.insert(s.store.listeners, function() raise_first(found) end)
end

--- What really ran, judged by the oracle; raises its first finding.
function M.judge_runs(s, deleted)
  local found = {}
  oracle.judge_runs(s, found, deleted)
  raise_first(found)
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
