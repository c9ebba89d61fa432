--- What a script declared, and what is wrong with it.
---
--- The functions of the library put flows, onces, leases and mains in here; finish() checks
--- what only shows when all is there: cycles, two mains, a stage in no flow. Mistakes are
--- collected, so that a user sees all of them at once.

local flow = require "konductor.flow"

local M = {}

---@class konductor.Use
---@field kind string
---@field name string
---@field ttl? integer
---@field runs? boolean     the script runs it
---@field watches? boolean  the script waits for it; unless it runs it, too, it only reads

---@class konductor.Program
---@field items table[]      flows and onces, in the order of declaration
---@field leases table[]
---@field mistakes string[]
---@field steps { what: string, place: string }[]   waiting calls at the script's own level
---@field uses table<string, konductor.Use>  named so far, declared or not
---@field main? table        what runs last: a flow's main, a lease's, or the command behind "--"
---@field usage? string      a sentence when the command line does not fit the script
local Program = {}
Program.__index = Program

---@param context { command?: string[], name: string }
---@return konductor.Program
function M.new(context)
  return setmetatable({
    context = context, items = {}, leases = {}, mistakes = {}, steps = {}, uses = {},
    open = {}, stages = {}, mains = {}, seen = {},
  }, Program)
end

--- Records a mistake, once.
---@param place? string  "FILE:LINE"
---@param sentence string
function Program:mistake(place, sentence)
  local line = place and ("%s: %s"):format(place, sentence) or sentence
  if not self.seen[line] then
    self.seen[line] = true
    self.mistakes[#self.mistakes + 1] = line
  end
end

function Program:step(what, place)
  self.steps[#self.steps + 1] = { what = what, place = place }
end

--- Remembers an object that the script has named. What runs for real may go on for ever, and is not written down.
function Program:use(kind, name)
  local key = kind .. "/" .. name
  if self.context.phase ~= "real" then
    self.uses[key] = self.uses[key] or { kind = kind, name = name }
  end
  return self.uses[key] or {}
end

--- The same of one that it runs, with the ttl of its record.
function Program:runs(kind, name, ttl)
  local use = self:use(kind, name)
  use.runs, use.ttl = true, ttl or use.ttl
end

--- The same of one that it waits for.
function Program:watches(kind, name)
  self:use(kind, name).watches = true
end

--- Remembers a name that still waits for its table: `k.flow "shop"` and nothing more.
function Program:opened(what, place)
  local entry = { what = what, place = place }
  self.open[entry] = true
  return entry
end

function Program:closed(entry)
  self.open[entry] = nil
end

-- Declarations ----------------------------------------------------------------------

function Program:add_stage(stage)
  self.stages[#self.stages + 1] = stage
end

function Program:add_main(main)
  self.mains[#self.mains + 1] = main
end

--- A flow with its checked stages; `broken` when one of them is, so that what follows from
--- that is not reported too.
---@param declared { name: string, place: string, stages: table[], main?: table, broken?: boolean }
function Program:add_flow(declared)
  for _, item in ipairs(self.items) do
    if item.flow and item.name == declared.name then
      self:mistake(declared.place, ('there are two flows named "%s"; the other is at %s'):format(item.name, item.place))
    end
  end
  local item = { type = "flow", name = declared.name, place = declared.place }
  self.items[#self.items + 1] = item
  if declared.broken then
    return
  end
  local defined, sentence, index = flow.define(declared.name, declared.stages, declared.main)
  if not defined then
    self:mistake(index and declared.stages[index].place or declared.place, sentence)
    return
  end
  item.flow = defined
end

function Program:add_once(once)
  for _, item in ipairs(self.items) do
    if item.type == "once" and item.name == once.name then
      self:mistake(once.place, ('there are two onces named "%s"; the other is at %s'):format(once.name, item.place))
    end
  end
  self.items[#self.items + 1] = once
end

function Program:add_lease(lease)
  for _, other in ipairs(self.leases) do
    if other.name == lease.name then
      self:mistake(lease.place, ('there are two leases named "%s"; the other is at %s'):format(lease.name, other.place))
    end
  end
  self.leases[#self.leases + 1] = lease
end

-- Checks at the end -----------------------------------------------------------------

local function check_strays(self)
  for entry in pairs(self.open) do
    self:mistake(entry.place, ("%s lacks its table of options: %s { ... }"):format(entry.what, entry.what))
  end
  for _, stage in ipairs(self.stages) do
    if not stage.used then
      self:mistake(stage.place, ('stage "%s" is in no flow; write it between the braces of k.flow "..." { }'):format(
        stage.name))
    end
  end
  for _, main in ipairs(self.mains) do
    if not main.used then
      self:mistake(main.place, 'k.main is in no flow; write it between the braces of k.flow "..." { }')
    end
  end
end

--- Objects are shared by name: two declarations of one would count each other's work as done.
local function check_objects(self)
  local owner = {}
  local function claim(object, what, place)
    if owner[object] then
      self:mistake(place, ('%s and %s share the object "%s"'):format(owner[object], what, object))
    end
    owner[object] = what
  end
  for _, item in ipairs(self.items) do
    if item.type == "once" then
      claim(item.name, ('once "%s"'):format(item.name), item.place)
    elseif item.flow then
      for _, stage in ipairs(item.flow.stages) do
        claim(stage.object, ('stage "%s" of flow "%s"'):format(stage.name, item.name), stage.place)
      end
    end
  end
end

--- Everything that wants to run last, with the words to name it.
local function candidates(self)
  local list = {}
  for _, item in ipairs(self.items) do
    if item.flow and item.flow.main then
      list[#list + 1] = {
        type = "flow", what = ('the main of flow "%s"'):format(item.name), place = item.flow.main.place,
        flow = item.flow, work = item.flow.main,
      }
    end
  end
  for _, lease in ipairs(self.leases) do
    list[#list + 1] = {
      type = "lease", what = ('the main of lease "%s"'):format(lease.name), place = lease.place, lease = lease,
      work = lease.main,
    }
  end
  return list
end

local function choose_main(self)
  local command = self.context.command
  local list = candidates(self)
  for i = 2, #list do
    self:mistake(list[i].place, ("there are two mains: %s and %s (at %s); a process has one"):format(
      list[i].what, list[1].what, list[1].place))
  end
  local main = list[1]
  if not main then
    if command and not self.context.command_used then
      self.main = { type = "command", work = { argv = command } }
    end
    return
  end
  self.main = main
  if main.work and (main.work.argv or main.work.run) then
    if command and not self.context.command_used then
      self.usage = ('%s is named in the script, so the command behind "--" would never run'):format(main.what)
    end
  elseif command then
    self.context.command_used = true
    local work = {}
    for key, value in pairs(main.work or {}) do
      work[key] = value
    end
    work.argv = command
    main.work = work
  else
    self:mistake(main.place, ('%s names no command, and none stands behind "--"'):format(main.what))
  end
end

--- Checks the whole. `quiet`: the script does something at its own level, so it need not
--- declare anything. `cut`: it did not come to its end, so what seems to be in no flow says nothing.
---@param quiet boolean
---@param cut? boolean
function Program:finish(quiet, cut)
  if not cut then
    check_strays(self)
  end
  check_objects(self)
  choose_main(self)
  local empty = #self.items == 0 and #self.leases == 0
  if empty and not quiet and #self.mistakes == 0 then
    self:mistake(self.context.name, "the script declares nothing and does nothing; "
      .. 'it needs k.flow, k.once, k.lease, or a call such as k.exec')
  end
end

return M
