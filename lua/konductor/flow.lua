--- Flows: stages that wait for each other, and what a replica does next.
---
--- Pure: `define` checks what a script declared, `decide` looks at the state of every
--- stage and names one action. Claiming, running and waiting belong to the caller, which
--- decides again after every change. Each stage is a Once of its own, so a restart, a
--- second replica and a version that was done before need no rule here: they all are
--- "this stage is done". The reasons are in docs/decisions/0021-flows.md.

local text = require "konductor.text"

local M = {}

---@class konductor.FlowStage
---@field name string
---@field object string      name of its Once
---@field after string[]     names of the stages that must be done first
---@field index integer      place in the declaration, from 1
---@field [string] any       whatever else the script said about it

---@class konductor.Flow
---@field name string
---@field stages konductor.FlowStage[]               as declared
---@field order konductor.FlowStage[]                each after all that it waits for
---@field by_name table<string, konductor.FlowStage>
---@field main any                                   what runs when every stage is done, or nil

---@class konductor.StageState
---@field state "done"|"free"|"held"|"failed"|"doubt"
---  done: executed for this version. free: anybody may claim it. held: somebody works on it.
---  failed: all attempts are used up. doubt: at-most-once work whose executor is gone.
---@field until_ms? integer  free: not before this time (backoff). held: look again then
---@field by? string         held: the holder
---@field attempts? integer  failed: how often it was tried
---@field error? string      failed, doubt: what went wrong last

---@class konductor.FlowAction
---@field act "claim"|"wait"|"main"|"fail"
---@field stage? string      claim: the stage to claim. fail: the first stage that failed
---@field until_ms? integer  wait: decide again then, if nothing changed before
---@field why? string        wait: for whom and what, for people
---@field because? string    fail: the whole story, for people
---@field exit? integer      fail: the exit code of `konductor run`

local MAX_OBJECT_NAME = 253

local function quoted(names)
  local parts = {}
  for i, name in ipairs(names) do
    parts[i] = '"' .. name .. '"'
  end
  return table.concat(parts, ", ")
end

--- The list of stages that `given.after` names; nil and a sentence when it is no such list.
local function after_list(given)
  local after = given.after
  if after == nil then
    return {}
  end
  if type(after) == "string" then
    after = { after }
  end
  if type(after) ~= "table" then
    return nil, ('stage "%s": after must be the name of a stage or a list of names, not a %s'):format(
      given.name, type(after))
  end
  local list, seen = {}, {}
  for i, name in ipairs(after) do
    if type(name) ~= "string" then
      return nil, ('stage "%s": after[%d] must be the name of a stage, not a %s'):format(given.name, i, type(name))
    end
    if seen[name] then
      return nil, ('stage "%s": after names "%s" twice'):format(given.name, name)
    end
    list[i], seen[name] = name, true
  end
  if #list == 0 then
    return nil, ('stage "%s": after names no stage; leave it out if the stage waits for none'):format(given.name)
  end
  return list
end

--- What is wrong with the stages that one stage waits for, or nil.
local function dependency_mistake(flow, stage)
  for _, name in ipairs(stage.after) do
    if name == stage.name then
      return ('stage "%s" waits for itself'):format(stage.name)
    end
    if not flow.by_name[name] then
      local known = {}
      for _, other in ipairs(flow.stages) do
        if other ~= stage then
          known[#known + 1] = other.name
        end
      end
      local nearest = text.nearest(name, known)
      local hint
      if nearest then
        hint = ('; did you mean "%s"?'):format(nearest)
      elseif #known > 0 then
        hint = ("; the other stages are %s"):format(quoted(known))
      else
        hint = "; it is the only stage"
      end
      return ('stage "%s" waits for "%s", which is no stage of flow "%s"%s'):format(
        stage.name, name, flow.name, hint)
    end
  end
  return nil
end

--- Stages in an order in which each comes after all that it waits for; among several that
--- could come next, the one declared first. Stages on a cycle, and behind one, are left out.
local function sort(flow)
  local placed, order = {}, {}
  local function next_stage()
    for _, stage in ipairs(flow.stages) do
      local open = placed[stage.name]
      for _, name in ipairs(stage.after) do
        open = open or not placed[name]
      end
      if not open then
        return stage
      end
    end
    return nil
  end
  local stage = next_stage()
  while stage do
    placed[stage.name] = true
    order[#order + 1] = stage
    stage = next_stage()
  end
  return order
end

--- One cycle among the stages that `sort` could not place, as names, the first one repeated
--- at the end. Every such stage waits for another such stage, so walking on must close a ring.
local function find_cycle(flow)
  local placed = {}
  for _, stage in ipairs(flow.order) do
    placed[stage.name] = true
  end
  local stage
  for _, each in ipairs(flow.stages) do
    if not placed[each.name] then
      stage = each
      break
    end
  end
  local path, place = {}, {}
  while not place[stage.name] do
    path[#path + 1] = stage.name
    place[stage.name] = #path
    for _, name in ipairs(stage.after) do
      if not placed[name] then
        stage = flow.by_name[name]
        break
      end
    end
  end
  local ring = {}
  for i = place[stage.name], #path do
    ring[#ring + 1] = path[i]
  end
  ring[#ring + 1] = stage.name
  return ring
end

--- Takes over the stages as given, with `after` as a list and the name of their object.
--- Returns nothing, or a sentence and the index of the stage at fault.
local function adopt_stages(flow, stages)
  local objects = {}
  for i, given in ipairs(stages) do
    if flow.by_name[given.name] then
      return ('flow "%s" has two stages named "%s"'):format(flow.name, given.name), i
    end
    local after, mistake = after_list(given)
    if not after then
      return mistake, i
    end
    local stage = {}
    for key, value in pairs(given) do
      stage[key] = value
    end
    stage.after, stage.index = after, i
    stage.object = given.object or (flow.name .. "." .. given.name)
    if #stage.object > MAX_OBJECT_NAME then
      return ('stage "%s": the name of its object, "%s", is %d bytes long; at most %d are allowed'):format(
        given.name, stage.object, #stage.object, MAX_OBJECT_NAME), i
    end
    if objects[stage.object] then
      return ('stages "%s" and "%s" share the object "%s": the one that runs second would count as done'):format(
        objects[stage.object], given.name, stage.object), i
    end
    objects[stage.object] = given.name
    flow.stages[i], flow.by_name[given.name] = stage, stage
  end
end

--- Checks a flow. The single stages (names, durations, what they run) were checked by the caller.
---@param name string
---@param stages { name: string, after?: string|string[], object?: string, [string]: any }[]
---@param main any
---@return konductor.Flow? flow
---@return string? mistake    a sentence
---@return integer? index     of the stage at fault in `stages`; nil when it is the flow itself
function M.define(name, stages, main)
  local flow = { name = name, stages = {}, by_name = {}, main = main }
  if #stages == 0 and main == nil then
    return nil, ('flow "%s" has neither a stage nor a main'):format(name)
  end
  local mistake, index = adopt_stages(flow, stages)
  if mistake then
    return nil, mistake, index
  end
  for i, stage in ipairs(flow.stages) do
    mistake = dependency_mistake(flow, stage)
    if mistake then
      return nil, mistake, i
    end
  end
  flow.order = sort(flow)
  if #flow.order < #flow.stages then
    local ring = find_cycle(flow)
    return nil, ("stages wait for each other in a circle: %s"):format(table.concat(ring, " -> ")),
      flow.by_name[ring[1]].index
  end
  return flow
end

local function is_over(state)
  return state.state == "failed" or state.state == "doubt"
end

--- Which stages can never run as things stand, and the failed stage behind it.
---@param flow konductor.Flow
---@param states table<string, konductor.StageState>
---@return table<string, string> blocked  name of the stage -> name of the failed one it waits for
function M.blocked(flow, states)
  local blocked = {}
  for _, stage in ipairs(flow.order) do
    if states[stage.name].state == "free" then
      for _, name in ipairs(stage.after) do
        local root = is_over(states[name]) and name or blocked[name]
        if root then
          blocked[stage.name] = root
          break
        end
      end
    end
  end
  return blocked
end

--- The stages whose upstreams are all done and that are not done themselves: those that a
--- replica may claim (`free`) and those that somebody else holds or that back off.
---@return konductor.FlowStage[] open  in order
local function open_stages(flow, states)
  local open = {}
  for _, stage in ipairs(flow.order) do
    local state = states[stage.name].state
    local is_open = state == "free" or state == "held"
    for _, name in ipairs(stage.after) do
      -- A stage held by a replica that saw its upstream done stays of interest, although the
      -- record of that upstream has been collected since.
      is_open = is_open and (state == "held" or states[name].state == "done")
    end
    if is_open then
      open[#open + 1] = stage
    end
  end
  return open
end

--- The stages that may be claimed now, in order.
---@param flow konductor.Flow
---@param states table<string, konductor.StageState>
---@param now integer
---@return konductor.FlowStage[]
function M.ready(flow, states, now)
  local ready = {}
  for _, stage in ipairs(open_stages(flow, states)) do
    local state = states[stage.name]
    if state.state == "free" and now >= (state.until_ms or 0) then
      ready[#ready + 1] = stage
    end
  end
  return ready
end

local function wait_for(open, states)
  local until_ms, parts = nil, {}
  for i, stage in ipairs(open) do
    local state = states[stage.name]
    if state.until_ms and (not until_ms or state.until_ms < until_ms) then
      until_ms = state.until_ms
    end
    if state.state == "held" then
      parts[i] = ('"%s" is being worked on by %s'):format(stage.name, state.by or "another")
    else
      parts[i] = ('"%s" failed and is tried again soon'):format(stage.name)
    end
  end
  return { act = "wait", until_ms = until_ms, why = table.concat(parts, "; ") }
end

local function failure_text(flow, stage, state)
  if state.state == "doubt" then
    return ('flow "%s": at-most-once stage "%s" may or may not have run (%s); look, then say which: '
      .. "koncli once resolve %s --ran or --not-run"):format(
      flow.name, stage.name, state.error or "its executor is gone", stage.object)
  end
  local attempts = state.attempts or 1
  return ('flow "%s": stage "%s" failed for good after %d %s: %s; when mended: koncli once reset %s'):format(
    flow.name, stage.name, attempts, attempts == 1 and "attempt" or "attempts",
    state.error or "no error was recorded", stage.object)
end

local function fail(flow, states)
  local first, parts = nil, {}
  for _, stage in ipairs(flow.order) do
    local state = states[stage.name]
    if is_over(state) then
      first = first or stage.name
      parts[#parts + 1] = failure_text(flow, stage, state)
    end
  end
  local blocked, victims = M.blocked(flow, states), {}
  for _, stage in ipairs(flow.order) do
    if blocked[stage.name] then
      victims[#victims + 1] = ('"%s" (waits for "%s")'):format(stage.name, blocked[stage.name])
    end
  end
  if #victims > 0 then
    parts[#parts + 1] = "not run: " .. table.concat(victims, ", ")
  end
  return {
    act = "fail",
    stage = first,
    because = table.concat(parts, "; "),
    exit = states[first].state == "doubt" and 77 or 1,
  }
end

--- What a replica does next.
---
--- 1. It works on one stage at a time: while it does, it waits.
--- 2. The first stage in order that is free and has all its upstreams done is claimed. One that
---    another replica holds is passed over, so that independent stages run side by side.
--- 3. Nothing to claim, but somebody works or a failed stage will be tried again: wait.
--- 4. All stages are done: main.
--- 5. Otherwise what is left failed for good or waits for such a stage: the flow failed.
---@param flow konductor.Flow
---@param states table<string, konductor.StageState>  one for each stage
---@param me { working?: string }  working: the stage this replica works on
---@param now integer              boot clock, ms
---@return konductor.FlowAction
function M.decide(flow, states, me, now)
  if me.working then
    return { act = "wait", why = ('working on "%s"'):format(me.working) }
  end
  local ready = M.ready(flow, states, now)
  if ready[1] then
    return { act = "claim", stage = ready[1].name }
  end
  local open = open_stages(flow, states)
  if #open > 0 then
    return wait_for(open, states)
  end
  for _, stage in ipairs(flow.stages) do
    if states[stage.name].state ~= "done" then
      return fail(flow, states)
    end
  end
  return { act = "main" }
end

return M
