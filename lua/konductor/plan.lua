--- What a script would do, for people: its flows, onces, leases and main as text, DOT,
--- Mermaid or SVG, with what is done in the store and what is left.
---
--- Pure: the caller reads the store and passes records in. A plan becomes a list of graphs
--- (boxes and arrows) once; plan_text.lua and svg.lua draw those.

local duration = require "konductor.duration"
local flow_policy = require "konductor.flow"
local once = require "konductor.once"
local plan_text = require "konductor.plan_text"
local record = require "konductor.record"
local svg = require "konductor.svg"
local text = require "konductor.text"

local M = {}

M.formats = { "text", "dot", "mermaid", "svg" }

---@class konductor.PlanState       of one object
---@field state "done"|"held"|"free"|"failed"|"doubt"|"blocked"|"corrupt"
---@field by? string                done, held: who
---@field at? string                done: when, RFC 3339
---@field attempts? integer         of this version
---@field error? string             failed, corrupt
---@field waiting? integer          lease: candidates in its queue
---@field kept? integer|false       once that is there: how long its record is kept, in milliseconds; false: for ever

---@class konductor.Plan
---@field name string               of the script
---@field store? string             where the states come from; nil: the store was not read
---@field items table[]             {type="flow", name, flow=konductor.Flow} and {type="once", name, ...}
---@field leases table[]            {name, ttl, priority, ..., main}
---@field main? table               {type="flow"|"lease"|"command", work={argv|run}}
---@field steps? { what: string, place: string }[]   waiting calls at the script's own level
---@field states? table<string, konductor.PlanState>  by "Kind/name"; without: nothing is known

---@class konductor.PlanBox
---@field id string
---@field title string
---@field lines string[]            what it runs, what it waits for...
---@field status string?            one line
---@field state string?             of konductor.PlanState; nil: not known
---@field shape "work"|"main"|"lease"

---@class konductor.PlanGraph
---@field title string
---@field boxes konductor.PlanBox[]     in an order that fits the arrows
---@field arrows { from: konductor.PlanBox, to: konductor.PlanBox }[]

local MAX_COMMAND = 60

-- States ------------------------------------------------------------------------------

--- What the store says about one version of a Once.
---@param rec konductor.Record?
---@param version? string
---@param max_attempts? integer
---@return konductor.PlanState
function M.once_state(rec, version, max_attempts)
  if not rec then
    return { state = "free" }
  end
  local view, _, sentence = record.once(rec)
  if not view then
    return { state = "corrupt", error = sentence }
  end
  local wanted = version or view.spec.version or ""
  local done = once.done(view, wanted)
  if done then
    return { state = "done", by = done.executor, at = done.executedAt }
  elseif view.version ~= wanted then
    return { state = view.claimed and "held" or "free", by = view.claimed and view.executor or nil }
  elseif view.doubt then
    return { state = "doubt", attempts = view.attempts, error = view.last_error }
  elseif view.claimed then
    return { state = "held", by = view.executor, attempts = view.attempts }
  end
  local limit = max_attempts or view.spec.max_attempts
  local is_final = limit and view.attempts >= limit
  return { state = is_final and "failed" or "free", attempts = view.attempts, error = view.last_error }
end

--- How long the store keeps the record of a Once, which its object says and not the script.
---@param rec konductor.Record?
---@return integer|false|nil        milliseconds; false: for ever; nil: there is none that can be read
function M.kept(rec)
  local view = rec and record.once(rec)
  if view then
    return view.spec.keep_ms or false
  end
end

--- What the store says about a Lease.
---@param rec konductor.Record?
---@return konductor.PlanState
function M.lease_state(rec)
  if not rec then
    return { state = "free" }
  end
  local view, _, sentence = record.lease(rec)
  if not view then
    return { state = "corrupt", error = sentence }
  end
  if view.holder == "" then
    return { state = "free", waiting = #view.waiters }
  end
  return { state = "held", by = view.holder, waiting = #view.waiters }
end

local STATUS = {
  done = function(state)
    return "done" .. (state.by and " by " .. state.by or "") .. (state.at and ", " .. state.at or "")
  end,
  held = function(state, tried)
    local waiting = state.waiting or 0
    return "held by " .. (state.by or "another") .. tried .. (waiting > 0 and (", %d waiting"):format(waiting) or "")
  end,
  free = function(_, tried, why)
    return tried ~= "" and "to do, failed before" .. tried .. why or "to do"
  end,
  failed = function(_, tried, why)
    return "failed for good" .. tried .. why
  end,
  doubt = function()
    return "in doubt: it may or may not have run"
  end,
  blocked = function(state)
    return ('cannot run: it waits for "%s"'):format(state.by)
  end,
  corrupt = function(_, _, why)
    return "unreadable" .. why
  end,
}

local function status_text(state)
  local attempts = state.attempts or 0
  local tried = attempts > 0 and (", %d %s"):format(attempts, attempts == 1 and "attempt" or "attempts") or ""
  return text.line(STATUS[state.state](state, tried, state.error and ": " .. state.error or ""))
end

--- States of the stages of a flow by name, with those that wait for a failed one marked.
local function stage_states(flow, states)
  local by_name = {}
  for _, stage in ipairs(flow.stages) do
    by_name[stage.name] = states["Once/" .. stage.object] or { state = "free" }
  end
  for name, root in pairs(flow_policy.blocked(flow, by_name)) do
    by_name[name] = { state = "blocked", by = root }
  end
  return by_name
end

-- Words -------------------------------------------------------------------------------

local function clip(line)
  line = text.clip(line, #line)
  return #line <= MAX_COMMAND and line or text.clip(line, MAX_COMMAND - 3) .. "..."
end

local function shell_word(word)
  if word:find("^[%w_@%%+=:,./\128-\255-]+$") then
    return word
  end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- What a stage, once or main runs, as somebody would type it.
local function work_text(work)
  local argv = work.argv or (type(work.run) == "table" and work.run) or nil
  if argv then
    local words = {}
    for i, word in ipairs(argv) do
      words[i] = shell_word(word)
    end
    return clip(table.concat(words, " "))
  end
  return (work.fn or type(work.run) == "function") and "a Lua function" or "nothing"
end

local function time_text(value)
  return type(value) == "number" and duration.format(value) or value
end

--- The options that change what happens, as "timeout 10m, 3 retries".
local function options_text(given)
  local parts = {}
  local function add(value, shape)
    if value ~= nil then
      parts[#parts + 1] = shape:format(value)
    end
  end
  add(given.version and given.version ~= "" and given.version or nil, "version %s")
  add(time_text(given.timeout), "timeout %s")
  add(given.retries, given.retries == 1 and "%d retry" or "%d retries")
  add(time_text(given.backoff), "backoff %s")
  add(given.mode == "AtMostOnce" and "at most once" or nil, "%s")
  return parts
end

-- How long a record is kept: as the script says, unless there is an object that says something else.
local function kept_text(plan, given, object)
  local state = plan.states and plan.states["Once/" .. object]
  local kept = state and state.kept
  if kept == nil or kept == (given.ttl or false) then
    return given.ttl and "record kept " .. time_text(given.ttl)
  end
  return ("record kept %s, as its object says"):format(kept and time_text(kept) or "for ever")
end

-- Graphs ------------------------------------------------------------------------------

local function new_box(graph, box)
  graph.boxes[#graph.boxes + 1] = box
  return box
end

local function flow_graph(plan, item, next_id)
  local flow = item.flow
  local graph = { title = "flow " .. flow.name, boxes = {}, arrows = {} }
  local states = plan.states and stage_states(flow, plan.states) or {}
  local box_of, has_follower = {}, {}
  for _, stage in ipairs(flow.order) do
    local details = options_text(stage)
    details[#details + 1] = kept_text(plan, stage, stage.object)
    local box = new_box(graph, {
      id = next_id(), title = stage.name, shape = "work", lines = { work_text(stage), table.concat(details, ", ") },
      object = "Once/" .. stage.object, after = stage.after,
      state = (states[stage.name] or {}).state, status = states[stage.name] and status_text(states[stage.name]),
    })
    box_of[stage.name] = box
    for _, name in ipairs(stage.after) do
      has_follower[name] = true
      graph.arrows[#graph.arrows + 1] = { from = box_of[name], to = box }
    end
  end
  if flow.main then
    local main = new_box(graph, {
      id = next_id(), title = "main", shape = "main", after = {},
      lines = { work_text(plan.main and plan.main.flow == flow and plan.main.work or flow.main), "" },
    })
    for _, stage in ipairs(flow.order) do
      if not has_follower[stage.name] then
        graph.arrows[#graph.arrows + 1] = { from = box_of[stage.name], to = main }
      end
    end
  end
  return graph
end

local function once_graph(plan, item, next_id)
  local state = plan.states and (plan.states["Once/" .. item.name] or { state = "free" }) or nil
  local details = options_text(item)
  details[#details + 1] = kept_text(plan, item, item.name)
  local graph = { title = "once " .. item.name, boxes = {}, arrows = {} }
  new_box(graph, {
    id = next_id(), title = item.name, shape = "work", lines = { work_text(item), table.concat(details, ", ") },
    object = "Once/" .. item.name, after = {}, state = state and state.state, status = state and status_text(state),
  })
  return graph
end

local function lease_graph(plan, lease, next_id)
  local state = plan.states and (plan.states["Lease/" .. lease.name] or { state = "free" }) or nil
  local details = {}
  if lease.ttl then
    details[1] = ("ttl %s"):format(time_text(lease.ttl))
  end
  if lease.priority then
    details[#details + 1] = ("priority %d"):format(lease.priority)
  end
  details[#details + 1] = lease.renewable == false and "not renewed" or nil
  details[#details + 1] = lease.preempt and "higher priority preempts" or nil
  if lease.pod_label then
    details[#details + 1] = ("its Pod has the label %s=%s"):format(lease.pod_label.key, lease.pod_label.value)
  end
  local graph = { title = "lease " .. lease.name, boxes = {}, arrows = {} }
  local box = new_box(graph, {
    id = next_id(), title = lease.name, shape = "lease", lines = { "one leads, the others stand by",
      table.concat(details, ", ") },
    object = "Lease/" .. lease.name, after = {}, state = state and state.state,
    status = state and (state.state == "free" and "available" or status_text(state)),
  })
  local work = plan.main and plan.main.lease == lease and plan.main.work or lease.main
  if work then
    local main = new_box(graph, {
      id = next_id(), title = "leader", shape = "main", lines = { work_text(work), "" }, after = {},
    })
    graph.arrows[1] = { from = box, to = main }
  end
  return graph
end

--- The plan as boxes and arrows, one graph for each flow, once and lease.
---@param plan konductor.Plan
---@return konductor.PlanGraph[]
function M.graphs(plan)
  local graphs, ids = {}, 0
  local function next_id()
    ids = ids + 1
    return "n" .. ids
  end
  for _, item in ipairs(plan.items) do
    local make = item.type == "flow" and flow_graph or once_graph
    graphs[#graphs + 1] = make(plan, item, next_id)
  end
  for _, lease in ipairs(plan.leases) do
    graphs[#graphs + 1] = lease_graph(plan, lease, next_id)
  end
  if plan.main and plan.main.type == "command" then
    local graph = { title = "then", boxes = {}, arrows = {} }
    new_box(graph, {
      id = next_id(), title = "main", shape = "main", lines = { work_text(plan.main.work), "" }, after = {},
    })
    graphs[#graphs + 1] = graph
  end
  return graphs
end

--- What `konductor plan` prints.
---@param plan konductor.Plan
---@param format "text"|"dot"|"mermaid"|"svg"
---@return string
function M.render(plan, format)
  local graphs = M.graphs(plan)
  if format == "svg" then
    return svg.render(plan.name, graphs)
  end
  return plan_text[format](plan, graphs)
end

return M
