--- What a script declares: k.flow, k.stage, k.main, and the tables behind k.once and k.lease.
---
--- Each checks its options at once and puts the result into the program; a mistake is
--- recorded there, with its place, and the declaration goes on with what is usable, so that
--- all mistakes of a script are found in one run.

local schema = require "konductor.api.schema"
local script = require "konductor.script"

local M = {}

local STAGE, MAIN = {}, {}

--- Options that a flow gives to its stages.
local INHERITED = { "version", "timeout", "retries", "backoff", "ttl", "mode", "hold", "env", "cwd", "grace" }

local function refuse_late(context, what, place)
  if not context.loading then
    error(("%s: %s declares; it belongs to the script's own level, not into a function that runs later"):format(
      place, what), 0)
  end
end

--- Calls of the form `k.stage "name" { ... }`: the name first, then the table.
local function curried(context, what, finish)
  return function(name, ...)
    local place = script.where(context)
    refuse_late(context, what, place)
    local title = ("%s %s"):format(what, type(name) == "string" and ('"%s"'):format(name) or tostring(name))
    local valid = schema.name(context, place, name, what)
    if select("#", ...) > 0 then
      context.program:mistake(place, ("%s takes its options in a call of its own: %s { ... }"):format(what, title))
      return nil
    end
    local entry = context.program:opened(title, place)
    return function(given)
      context.program:closed(entry)
      return finish(name, given, title, script.where(context), valid)
    end
  end
end

local function merge_env(low, high)
  if not low or not high then
    return high or low
  end
  local env = {}
  for _, source in ipairs { low, high } do
    for name, value in pairs(source) do
      env[name] = value
    end
  end
  return env
end

--- What a stage, a once or a main runs: a command or a function.
local function split_run(checked)
  if type(checked.run) == "function" then
    checked.fn = checked.run
  else
    checked.argv = checked.run
  end
  checked.run = checked.fn or checked.argv
  return checked
end

local function stage(context)
  return curried(context, "k.stage", function(name, given, title, place, valid)
    local checked, ok = schema.check(context, "stage", given, title, place)
    checked.name, checked.place, checked.kind = name, place, STAGE
    checked.broken = not ok or not valid
    split_run(checked)
    context.program:add_stage(checked)
    return checked
  end)
end

local function main(context)
  return function(given)
    local place = script.where(context)
    refuse_late(context, "k.main", place)
    local checked, ok = schema.check(context, "main", given or {}, "k.main", place)
    if checked.argv and #checked.argv == 0 then
      checked.argv = nil
    end
    checked.place, checked.kind, checked.broken = place, MAIN, not ok
    context.program:add_main(checked)
    return checked
  end
end

--- Fills what a stage leaves open from the options of its flow.
local function inherit(stages, options)
  for _, each in ipairs(stages) do
    for _, key in ipairs(INHERITED) do
      if key == "env" then
        each.env = merge_env(options.env, each.env)
      elseif each[key] == nil then
        each[key] = options[key]
      end
    end
    schema.complete_stage(each)
  end
end

local function is_kind(value, kind)
  return type(value) == "table" and value.kind == kind
end

--- Sorts the entries of a flow's table into stages, main and options.
local function take_entries(context, given, title, place)
  local parts = { stages = {}, options = {}, broken = false }
  local function mistake(sentence, ...)
    parts.broken = true
    context.program:mistake(place, sentence:format(...))
  end
  for key, value in pairs(given) do
    if type(key) ~= "number" then
      parts.options[key] = value
    end
  end
  for i = 1, table.maxn(given) do
    local value = given[i]
    if is_kind(value, STAGE) then
      if value.used then
        mistake('%s: stage "%s" stands in two flows or twice in one', title, value.name)
      end
      value.used = true
      parts.broken = parts.broken or value.broken
      parts.stages[#parts.stages + 1] = value
    elseif is_kind(value, MAIN) then
      value.used = true
      parts.broken = parts.broken or value.broken
      if parts.main then
        mistake("%s has two mains", title)
      end
      parts.main = value
    elseif type(value) == "function" then
      parts.broken = true -- `k.stage "x"` without its table, which the program reports
    elseif value == nil then
      parts.broken = #context.program.mistakes > 0
      if not parts.broken then
        mistake("%s: entry %d is nil", title, i)
      end
    else
      mistake('%s: entry %d is a %s; expected are k.stage "..." { } and k.main { }', title, i, type(value))
    end
  end
  return parts
end

local function flow(context)
  return curried(context, "k.flow", function(name, given, title, place, valid)
    if type(given) ~= "table" then
      context.program:mistake(place, ("%s takes a table, not a %s"):format(title, type(given)))
      return nil
    end
    local parts = take_entries(context, given, title, place)
    local checked, ok = schema.check(context, "flow", parts.options, title, place)
    inherit(parts.stages, checked)
    for _, each in ipairs(parts.stages) do
      for _, sentence in ipairs(schema.stage_conflicts(each)) do
        context.program:mistake(each.place, sentence)
        parts.broken = true
      end
    end
    context.program:add_flow {
      name = name, place = place, stages = parts.stages, main = parts.main,
      broken = parts.broken or not ok or not valid,
    }
  end)
end

--- The table behind `k.once "name" { ... }`.
function M.once(context, name, given, place)
  local title = ('k.once "%s"'):format(tostring(name))
  local checked, ok = schema.check(context, "once", given, title, place)
  if not ok then
    return
  end
  split_run(checked)
  schema.complete_stage(checked)
  for _, sentence in ipairs(schema.stage_conflicts(checked, title)) do
    context.program:mistake(place, sentence)
  end
  checked.type, checked.name, checked.place, checked.object = "once", name, place, name
  context.program:add_once(checked)
end

--- The table behind `k.lease "name" { ... }`.
function M.lease(context, name, given, place)
  local title = ('k.lease "%s"'):format(tostring(name))
  local checked, ok = schema.check(context, "lease", given, title, place)
  if not ok then
    return
  end
  checked.name, checked.place = name, place
  if type(checked.main) == "function" then
    checked.main = { fn = checked.main, run = checked.main }
  elseif checked.main then
    checked.main = { argv = checked.main }
  end
  if checked.main then
    checked.main.env, checked.main.cwd = checked.env, checked.cwd
  end
  context.program:add_lease(checked)
end

---@param context konductor.ScriptContext
---@param k table
function M.add(context, k)
  k.flow, k.stage, k.main = flow(context), stage(context), main(context)
end

return M
