--- A smaller world that breaks in the same way: fewer kinds of faults, then fewer replicas. What is left is what it takes.
---
--- Greedy: each kind that was met is left out in turn, and stays out when the same rule is still broken. The seed stays
--- the same, but chance falls elsewhere when a kind is out, so the smaller world is another one, to be replayed with the
--- very options that are given back.

local faults = require "konductor.sim.faults"
local seed_of = require "konductor.sim.seed"

local M = {}

---@class konductor.sim.Smaller
---@field replicas integer
---@field only string[]   kinds of faults, in order; {}: none

local function breaks(how, seed, rule, replicas, only)
  local result = seed_of.play(how.script, seed, { replicas = replicas, only = only, pause = how.pause })
  for _, finding in ipairs(result.found) do
    if finding.rule == rule then
      return true
    end
  end
  return false
end

local function without(only, kind)
  local rest = {}
  for name in pairs(only) do
    rest[name] = name ~= kind or nil
  end
  return rest
end

--- The first few are as good as all: with two replicas everything can happen that takes two.
local function fewer_replicas(how, result, rule, only)
  for replicas = 1, result.replicas - 1 do
    if breaks(how, result.seed, rule, replicas, only) then
      return replicas
    end
  end
  return result.replicas
end

--- Nil when the world does not even break again with the kinds that it met.
---@param script konductor.sim.Script
---@param result konductor.sim.Result  that broke; its first finding is what is looked for
---@param pause? fun()  see sim/world.lua
---@return konductor.sim.Smaller?
function M.minimise(script, result, pause)
  local how, rule, only = { script = script, pause = pause }, result.found[1].rule, {}
  for kind, count in pairs(result.hits) do
    only[kind] = count > 0 or nil
  end
  if not breaks(how, result.seed, rule, result.replicas, only) then
    return nil
  end
  for _, kind in ipairs(faults.order) do
    local rest = only[kind] and without(only, kind)
    if rest and breaks(how, result.seed, rule, result.replicas, rest) then
      only = rest
    end
  end
  local kinds = {}
  for _, kind in ipairs(faults.order) do
    kinds[#kinds + 1] = only[kind] and kind or nil
  end
  return { replicas = fewer_replicas(how, result, rule, only), only = kinds }
end

return M
