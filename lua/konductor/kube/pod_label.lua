--- A label on the Pod of the leader, which a Service can select: `pod_label` of a lease.
---
--- It listens to the event log (docs/reference/events.md) and works in a task of its own, so it neither delays nor
--- fails the lease. When the work begins it takes the label from all other Pods, then puts it on its own; when the work
--- has ended, or is being lost, it takes it off again. A leader that vanished does not; the next one does it for it. It
--- looks again now and then, because a person or a request that came late may have changed it.
---
--- The label says where to send traffic. It is no lock: who acts is decided by the lease alone.

local M = {}

--- Between two looks of a leader, and until another try of what failed. What passes in a few tries needs no words.
local LOOK_MS, FIRST_MS, LONGEST_MS, SILENT_TRIES = 60000, 100, 30000, 2
--- So long an answer is waited for.
local LIMIT_MS = 3000

local JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"

---@class konductor.PodLabelOptions
---@field namespace string
---@field pod string                     ours: the name of this replica
---@field lease string
---@field label { key: string, value: string }
---@field array fun(list: table): table  marks a list for JSON

---@class konductor.PodLabel
---@field w konductor.World
---@field request fun(given: table): table?, string?, string?
---@field options konductor.PodLabelOptions
---@field wanted? boolean      whether our Pod should have it
---@field settled? boolean     whether it has it, as far as is known
---@field is_waiting boolean
---@field failures integer     in a row
local PodLabel = {}
PodLabel.__index = PodLabel

-- Requests ---------------------------------------------------------------------------------

local function ask(self, given)
  given.limit_ms = LIMIT_MS
  local answer, word, detail = self.request(given)
  if not answer then
    return nil, detail or word
  elseif answer.status >= 300 then
    local body = type(answer.body) == "table" and answer.body or {}
    return nil, ("the server answered %d: %s"):format(answer.status, tostring(body.message)), answer.status
  end
  return answer.body
end

local function path_of(self, pod)
  return ("/api/v1/namespaces/%s/pods%s"):format(self.options.namespace, pod and "/" .. pod or "")
end

-- Takes the label off a Pod if it is as it was seen: `path` of it has still this value.
local function strip(self, pod, path, value)
  local label = "/metadata/labels/" .. self.options.label.key:gsub("~", "~0"):gsub("/", "~1")
  local done, detail, status = ask(self, {
    method = "PATCH", path = path_of(self, pod), content_type = JSON_PATCH, body = self.options.array {
      { op = "test", path = path or label, value = value }, { op = "remove", path = label },
    },
  })
  return done ~= nil or status == 404, detail, status
end

-- One that has changed since it was listed may have a label of its own right by now: it is looked at again.
local function strip_others(self, pods)
  for _, pod in ipairs(pods) do
    if pod.metadata.name ~= self.options.pod then
      local ok, detail = strip(self, pod.metadata.name, "/metadata/resourceVersion", pod.metadata.resourceVersion)
      if not ok or not self.wanted then
        return nil, detail
      end
    end
  end
  return true
end

local function has(pods, name)
  for _, pod in ipairs(pods) do
    if pod.metadata.name == name then
      return true
    end
  end
  return false
end

local function is_pod(item)
  local metadata = type(item) == "table" and item.metadata
  return type(metadata) == "table" and type(metadata.name) == "string" and type(metadata.resourceVersion) == "string"
end

-- The Pods of an answer, whose sender need not be an API server: a proxy may say anything with a 200.
local function pods_of(list)
  local items = type(list) == "table" and list.items
  if type(items) ~= "table" then
    return nil
  end
  for _, item in ipairs(items) do
    if not is_pod(item) then
      return nil
    end
  end
  return items
end

local function put_on(self)
  local label, own = self.options.label, self.options.pod
  local list, detail = ask(self, {
    method = "GET", path = path_of(self), query = ("labelSelector=%s=%s"):format(label.key, label.value),
  })
  local pods = pods_of(list)
  if not pods or not self.wanted then
    return nil, list == nil and detail or "the answer is no list of Pods"
  end
  local ok
  ok, detail = strip_others(self, pods)
  if ok and not has(pods, own) then
    ok, detail = ask(self, {
      method = "PATCH", path = path_of(self, own), content_type = MERGE_PATCH,
      body = { metadata = { labels = { [label.key] = label.value } } },
    })
  end
  return ok ~= nil, detail
end

-- A test that fails says that our Pod does not have it.
local function take_off(self)
  local ok, detail, status = strip(self, self.options.pod, nil, self.options.label.value)
  return ok or status == 422, detail
end

-- The task ---------------------------------------------------------------------------------

local function say(self, level, words)
  local label = self.options.label
  self.w.log(level, ("%s: label %s=%s: %s"):format(self.options.lease, label.key, label.value, words))
end

-- Takes in how it went; gives for how long there is nothing to do.
local function report(self, wanted, ok, detail)
  if ok then
    if wanted and self.settled ~= true then
      say(self, "info", ("on Pod %s"):format(self.options.pod))
    end
    self.failures, self.settled = 0, wanted
    return wanted and LOOK_MS or nil
  end
  self.failures = self.failures + 1
  if self.failures == SILENT_TRIES + 1 then
    say(self, "warn", ("not %s Pod %s, it is tried again: %s"):format(wanted and "on" or "off", self.options.pod,
      detail or "no answer"))
  end
  return math.min(FIRST_MS * 2 ^ (self.failures - 1), LONGEST_MS)
end

local function rest(self, ms)
  if self.idle then
    self.idle:post { type = "idle" }
  end
  self.is_waiting = true
  self.inbox:wait(ms and self.w.now() + ms)
  self.is_waiting = false
end

local function keep(self)
  while true do
    local wanted = self.wanted
    local ok, detail = (wanted and put_on or take_off)(self)
    if wanted == self.wanted then
      rest(self, report(self, wanted, ok, detail))
    end
  end
end

local function want(self, wanted)
  if wanted == self.wanted then
    return
  end
  self.wanted, self.settled, self.failures = wanted, nil, 0
  if self.is_waiting then
    self.inbox:post { type = "wanted" }
  end
end

-- What others do with it --------------------------------------------------------------------

--- Takes an event in, as a listener of the event log.
---@param name string
---@param fields table
function PodLabel:take(name, fields)
  if fields.kind ~= "Lease" or fields.name ~= self.options.lease then
    return
  elseif name == "start" then
    want(self, true)
  elseif name == "stop" or name == "lost" then
    want(self, false)
  end
end

--- Waits until the label is where it should be, at most for so long: at the end of a process. *waits*
---@param limit_ms integer
function PodLabel:flush(limit_ms)
  if self.settled == nil then
    self.idle = self.w.inbox()
    self.idle:wait(self.w.now() + limit_ms)
    self.idle:close()
    self.idle = nil
  end
end

--- Begins without the label: a container that was started again may find it on its Pod.
---@param w konductor.World
---@param request fun(given: table): table?, string?, string?  of the store
---@param options konductor.PodLabelOptions
---@return konductor.PodLabel
function M.new(w, request, options)
  local self = setmetatable({
    w = w, request = request, options = options, inbox = w.inbox(), wanted = false, is_waiting = false, failures = 0,
  }, PodLabel)
  w.task(nil, keep, self)
  return self
end

return M
