--- Prometheus text of what this process did, made from its events. Pure.

local text = require "konductor.text"

local M = {}

---@class konductor.Metrics
local Metrics = {}
Metrics.__index = Metrics

---@param version string
---@return konductor.Metrics
function M.new(version)
  return setmetatable({ version = version, events = {}, holding = {}, fence = {}, runs = {}, waiting = 0 }, Metrics)
end

local HOLDS = { claim = true, accept = true }
local FREES = { release = true, complete = true, fail = true, lost = true, superseded = true }

--- Takes an event in.
---@param name string
---@param fields table
function Metrics:take(name, fields)
  self.events[name] = (self.events[name] or 0) + 1
  if not fields.kind or not fields.name then
    return
  end
  local object = ('kind="%s",name="%s"'):format(fields.kind, fields.name)
  if HOLDS[name] then
    self.holding[object], self.fence[object] = 1, fields.fence
  elseif FREES[name] then
    self.holding[object] = 0
  elseif name == "stop" then
    local run = ('%s,code="%s"'):format(object, tostring(fields.code or "none"))
    self.runs[run] = (self.runs[run] or 0) + 1
  end
end

local function family(out, name, kind, help, values, label)
  out[#out + 1] = ("# HELP %s %s"):format(name, help)
  out[#out + 1] = ("# TYPE %s %s"):format(name, kind)
  for key, value in text.spairs(values) do
    out[#out + 1] = ("%s{%s} %s"):format(name, label and label:format(key) or key, ("%d"):format(value))
  end
end

--- The text behind /metrics.
---@return string
function Metrics:render()
  local out = {}
  family(out, "konductor_info", "gauge", "This program.", { [('version="%s"'):format(self.version)] = 1 })
  family(out, "konductor_events_total", "counter", "Events by name, as in the event log.", self.events, 'event="%s"')
  family(out, "konductor_holding", "gauge", "1 while this process holds the object.", self.holding)
  family(out, "konductor_fence", "gauge", "Fencing number of the last hold of this process.", self.fence)
  family(out, "konductor_runs_total", "counter", "Runs that ended, by exit code.", self.runs)
  return table.concat(out, "\n") .. "\n"
end

return M
