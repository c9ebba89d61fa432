--- Prometheus text of what this process did, made from its events. Pure: the clocks are given.
---
--- Counters stand at 0 before anything is counted: a series that begins at 1 shows no increase. An
--- object has its series from the time on at which this process joins its queue or has it. Who
--- works through ever new names keeps those of the last OBJECTS_MAX.

local text = require "konductor.text"

local M = {}

--- Every event of the log (docs/reference/events.md).
local EVENTS = {
  "join", "leave", "preempt", "claim", "grant", "accept", "renew", "start", "stop", "lost", "release", "complete",
  "unconfirmed", "superseded", "fail", "abandon", "skip", "wait", "collect", "flow", "main",
}
local RESULTS = { "success", "failure", "stopped", "killed" }
local OBJECTS_MAX = 100

---@class konductor.MetricsClock
---@field now fun(): number    boot clock, ms
---@field unix fun(): number   wall clock, s

---@class konductor.Metrics
---@field objects table<string, table>  what is told of each, by its labels
---@field is_waiting boolean      for something that another has
---@field is_initialized boolean  all that comes before the main is done
local Metrics = {}
Metrics.__index = Metrics

local function zeros(names)
  local counts = {}
  for _, name in ipairs(names) do
    counts[name] = 0
  end
  return counts
end

---@param version string
---@param clock konductor.MetricsClock
---@return konductor.Metrics
function M.new(version, clock)
  return setmetatable({
    version = version, clock = clock, events = zeros(EVENTS), objects = {}, count = 0, serial = 0,
    is_waiting = false, is_initialized = false,
  }, Metrics)
end

-- Makes room: of those that are not held, the one that was spoken of longest ago goes.
local function forget(self)
  local oldest
  for labels, object in pairs(self.objects) do
    if object.holding == 0 and (not oldest or object.serial < self.objects[oldest].serial) then
      oldest = labels
    end
  end
  if oldest then
    self.objects[oldest], self.count = nil, self.count - 1
  end
end

local function object_of(self, labels)
  local object = self.objects[labels]
  if not object then
    if self.count >= OBJECTS_MAX then
      forget(self)
    end
    object = { holding = 0, runs = zeros(RESULTS), seconds = 0, lost = 0 }
    self.objects[labels], self.count = object, self.count + 1
  end
  self.serial = self.serial + 1
  object.serial = self.serial
  return object
end

-- What each event says of its object ----------------------------------------------------

local TAKE = {}

function TAKE.join() end

function TAKE.claim(object, fields, clock)
  object.holding, object.fence, object.ttl_ms = 1, fields.fence, fields.ttl_ms
  object.renewed_at = clock.unix()
end
TAKE.accept = TAKE.claim

function TAKE.renew(object, _, clock)
  object.renewed_at = clock.unix()
end

function TAKE.start(object, _, clock)
  object.started_at = clock.now()
end

function TAKE.lost(object)
  object.holding, object.lost = 0, object.lost + 1
end

local function result_of(fields)
  if fields.by == "stopped" then
    return "stopped"
  elseif fields.by == "deadman" then
    return "killed"
  end
  return fields.code == 0 and "success" or "failure"
end

-- Nothing works under the hold any more, whether or not the store hears of it.
function TAKE.stop(object, fields, clock)
  object.holding = 0
  local result = result_of(fields)
  object.runs[result] = object.runs[result] + 1
  object.code = fields.code or object.code
  object.seconds = object.seconds + (clock.now() - (object.started_at or clock.now())) / 1000
end

--- Takes an event in.
---@param name string
---@param fields table
function Metrics:take(name, fields)
  self.events[name] = (self.events[name] or 0) + 1
  if TAKE[name] and fields.kind and fields.name then
    TAKE[name](object_of(self, ('kind="%s",name="%s"'):format(fields.kind, fields.name)), fields, self.clock)
  end
end

-- The text ------------------------------------------------------------------------------

local function family(out, name, kind, help)
  out[#out + 1] = ("# HELP %s %s"):format(name, help)
  out[#out + 1] = ("# TYPE %s %s"):format(name, kind)
end

local function sample(out, name, labels, value, form)
  if value then
    out[#out + 1] = ("%s%s " .. (form or "%.0f")):format(name, labels and "{" .. labels .. "}" or "", value)
  end
end

-- A family of one value an object; those that have none are left out.
local function of_objects(out, objects, name, kind, help, value, form)
  family(out, name, kind, help)
  for labels, object in text.spairs(objects) do
    sample(out, name, labels, value(object), form)
  end
end

local function runs(out, objects)
  family(out, "konductor_runs_total", "counter", "Runs that ended, by how they ended.")
  for labels, object in text.spairs(objects) do
    for _, result in ipairs(RESULTS) do
      sample(out, "konductor_runs_total", ('%s,result="%s"'):format(labels, result), object.runs[result])
    end
  end
end

local function durations(out, objects)
  local name = "konductor_run_duration_seconds"
  family(out, name, "summary", "How long runs took, their last descendants included.")
  for labels, object in text.spairs(objects) do
    local count = 0
    for _, result in ipairs(RESULTS) do
      count = count + object.runs[result]
    end
    sample(out, name .. "_sum", labels, object.seconds, "%.3f")
    sample(out, name .. "_count", labels, count)
  end
end

local function holds(out, objects)
  of_objects(out, objects, "konductor_holding", "gauge", "1 while this process works under the object's hold, else 0.",
    function(object) return object.holding end)
  of_objects(out, objects, "konductor_fence", "gauge", "Fencing number of the last hold of this process.",
    function(object) return object.fence end)
  of_objects(out, objects, "konductor_hold_ttl_seconds", "gauge", "Time to live of the last hold.",
    function(object) return object.ttl_ms and object.ttl_ms / 1000 end, "%.3f")
  of_objects(out, objects, "konductor_hold_renewed_timestamp_seconds", "gauge",
    "Unix time at which the last hold was granted or renewed.", function(object) return object.renewed_at end)
  of_objects(out, objects, "konductor_holds_lost_total", "counter", "Holds that ended before their work.",
    function(object) return object.lost end)
end

--- The text behind /metrics.
---@return string
function Metrics:render()
  local out, objects = {}, self.objects
  family(out, "konductor_info", "gauge", "This program; always 1.")
  sample(out, "konductor_info", ('version="%s"'):format(self.version), 1)
  family(out, "konductor_initialized", "gauge", "1 once everything before the main is done, else 0.")
  sample(out, "konductor_initialized", nil, self.is_initialized and 1 or 0)
  family(out, "konductor_waiting", "gauge", "1 while this process waits for what another has, else 0.")
  sample(out, "konductor_waiting", nil, self.is_waiting and 1 or 0)
  family(out, "konductor_events_total", "counter", "Events by name, as in the event log.")
  for name, count in text.spairs(self.events) do
    sample(out, "konductor_events_total", ('event="%s"'):format(name), count)
  end
  holds(out, objects)
  runs(out, objects)
  of_objects(out, objects, "konductor_last_exit_code", "gauge", "Exit code of the last run.",
    function(object) return object.code end)
  durations(out, objects)
  return table.concat(out, "\n") .. "\n"
end

return M
