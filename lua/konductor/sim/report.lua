--- What is told of worlds that were played: totals, what broke, and one world step by step. Pure.

local faults = require "konductor.sim.faults"
local text = require "konductor.text"

local M = {}

--- Broken seeds that are told one by one.
local MAX_TOLD = 10

---@class konductor.sim.Totals
---@field seeds integer                 worlds played
---@field first integer                 the first seed
---@field events integer
---@field runs integer
---@field ms integer                    simulated
---@field fewest integer                replicas
---@field most integer
---@field hits table<string, integer>
---@field ends table<integer, integer>  replicas that came to their end, by exit code
---@field broken konductor.sim.Result[]  without their histories

---@param first integer
---@return konductor.sim.Totals
function M.totals(first)
  local totals = { seeds = 0, first = first, events = 0, runs = 0, ms = 0, fewest = math.huge, most = 0, hits = {},
    ends = {}, broken = {} }
  for _, kind in ipairs(faults.order) do
    totals.hits[kind] = 0
  end
  return totals
end

---@param totals konductor.sim.Totals
---@param result konductor.sim.Result
function M.add(totals, result)
  totals.seeds = totals.seeds + 1
  for _, field in ipairs { "events", "runs", "ms" } do
    totals[field] = totals[field] + result[field]
  end
  totals.fewest = math.min(totals.fewest, result.replicas)
  totals.most = math.max(totals.most, result.replicas)
  for kind, count in pairs(result.hits) do
    totals.hits[kind] = totals.hits[kind] + count
  end
  for code, count in pairs(result.ends) do
    totals.ends[code] = (totals.ends[code] or 0) + count
  end
  if #result.found > 0 then
    local kept = { seed = result.seed, found = result.found, replicas = result.replicas, hits = result.hits }
    table.insert(totals.broken, kept)
  end
end

local function count_of(n, one, many)
  return ("%d %s"):format(n, n == 1 and one or many or one .. "s")
end

local function faults_of(totals)
  local met, missed = {}, {}
  for _, kind in ipairs(faults.order) do
    if totals.hits[kind] > 0 then
      met[#met + 1] = ("%s %d"):format(kind, totals.hits[kind])
    else
      missed[#missed + 1] = kind
    end
  end
  return met, missed
end

-- Nil when all went on to their mains.
local function ends_of(totals)
  local words = {}
  for code, count in text.spairs(totals.ends) do
    words[#words + 1] = ("%d with exit code %d"):format(count, code)
  end
  return words[1] and "replicas that ended: " .. table.concat(words, ", ")
end

local function replicas_of(totals)
  if totals.fewest == totals.most then
    return count_of(totals.most, "replica")
  end
  return ("%d to %d replicas"):format(totals.fewest, totals.most)
end

--- A finding, in a line.
---@param finding konductor.Finding
---@return string
function M.line(finding)
  return ("%s at %.3f s: %s"):format(finding.rule, finding.at_us / 1000000, finding.text)
end

---@param totals konductor.sim.Totals
---@class konductor.sim.How
---@field name string            of the script, for people
---@field replay fun(seed: integer, smaller?: konductor.sim.Smaller): string  the command line that shows that world
---@field only? table            only these kinds of faults were asked for
---@field smaller? konductor.sim.Smaller  of the first seed that broke

---@param how konductor.sim.How
---@return string
function M.text(totals, how)
  local lines = {}
  for i = 1, math.min(#totals.broken, MAX_TOLD) do
    local broken = totals.broken[i]
    for _, finding in ipairs(broken.found) do
      lines[#lines + 1] = ("seed %d: %s"):format(broken.seed, M.line(finding))
    end
    lines[#lines + 1] = "  see it happen: " .. how.replay(broken.seed)
    if i == 1 and how.smaller then
      lines[#lines + 1] = ("  it takes only %s and %s: %s"):format(count_of(how.smaller.replicas, "replica"),
        how.smaller.only[1] and table.concat(how.smaller.only, ", ") or "no fault",
        how.replay(broken.seed, how.smaller))
    end
  end
  if #totals.broken > MAX_TOLD then
    lines[#lines + 1] = ("and %s more"):format(count_of(#totals.broken - MAX_TOLD, "seed"))
  end
  if totals.seeds == 0 then
    return how.name .. ": no world was played to its end\n"
  end
  lines[#lines + 1] = ("%s: %s of %s, %s"):format(how.name, count_of(totals.seeds, "world"), replicas_of(totals),
    #totals.broken == 0 and "nothing broke" or count_of(#totals.broken, "of them broke", "of them broke"))
  lines[#lines + 1] = ("%.1f simulated hours, %s, %s"):format(totals.ms / 3600000, count_of(totals.runs, "command"),
    count_of(totals.events, "event"))
  lines[#lines + 1] = ends_of(totals)
  local met, missed = faults_of(totals)
  if #met > 0 then
    lines[#lines + 1] = "faults: " .. table.concat(met, ", ")
  end
  if #missed > 0 and not how.only then
    lines[#lines + 1] = "never met, so nothing is said about it: " .. table.concat(missed, ", ")
  end
  if totals.runs == 0 then
    lines[#lines + 1] = "no command of the script ran in any of them: this says nothing"
  end
  return table.concat(lines, "\n") .. "\n"
end

---@param totals konductor.sim.Totals
---@param how konductor.sim.How
---@param array fun(list: table): table  marks a list for JSON
---@return table
function M.json(totals, how, array)
  local broken = {}
  for i, each in ipairs(totals.broken) do
    local found = {}
    for j, finding in ipairs(each.found) do
      found[j] = { rule = finding.rule, atSeconds = finding.at_us / 1000000, text = finding.text }
    end
    broken[i] = { seed = each.seed, findings = array(found), replay = how.replay(each.seed),
      smaller = i == 1 and how.smaller and how.replay(each.seed, how.smaller) or nil }
  end
  return {
    script = how.name, seeds = totals.seeds, firstSeed = totals.first, simulatedSeconds = totals.ms / 1000,
    commands = totals.runs, events = totals.events, faults = totals.hits, broken = array(broken),
  }
end

-- Fields that say nothing in a world that is seen at once.
local LEFT_OUT = { event = true, t_us = true, seq = true, holder = true, session = true, pid = true, uid = true,
  op = true, stages = true }

local function fields_of(event)
  local words = {}
  for name, value in text.spairs(event) do
    if not LEFT_OUT[name] and type(value) ~= "table" then
      words[#words + 1] = ("%s=%s"):format(name, tostring(value))
    end
  end
  return table.concat(words, " ")
end

--- One world step by step: what the replicas logged and what they wrote into their event logs, in the order of time.
---@param result konductor.sim.Result
---@param logged {t_us: integer, holder: string, text: string}[]
---@return string
function M.trace(result, logged)
  local all = {}
  for _, event in ipairs(result.history) do
    all[#all + 1] = { t_us = event.t_us, holder = event.holder, text = ("%s %s"):format(event.event, fields_of(event)) }
  end
  for _, line in ipairs(logged) do
    all[#all + 1] = line
  end
  for i, line in ipairs(all) do
    line.place = i
  end
  table.sort(all, function(a, b)
    return a.t_us < b.t_us or a.t_us == b.t_us and a.place < b.place
  end)
  local lines = {}
  for i, line in ipairs(all) do
    local shown = text.line(line.text):gsub("%s+$", "")
    lines[i] = ("%9.3f  %-4s  %s"):format(line.t_us / 1000000, line.holder, shown)
  end
  lines[#lines + 1] = ""
  return table.concat(lines, "\n")
end

return M
