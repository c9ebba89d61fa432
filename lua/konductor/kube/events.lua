--- Kubernetes Events about what this process did, for `kubectl describe` and `kubectl events`.
---
--- A courtesy: it listens to the event log (docs/reference/events.md), sends from a task of its own, and
--- neither delays nor fails a policy. At most a few are sent in a row and one every ten seconds
--- after that; more are dropped. Without the right to create Events (events.k8s.io) the first refusal
--- ends it, with one line for debugging.

local rights = require "konductor.kube.rights"
local text = require "konductor.text"

local M = {}

local BURST, REFILL_MS = 16, 10000
local QUEUE_MAX = 32
local LIMIT_MS = 3000
local CONTROLLER = "konductor.io/konductor"
local INSTANCE_MAX, NOTE_MAX, NAME_MAX = 128, 1024, 253

-- What is told: reason, action, whether it is a warning, and the note.
local function grant(fields)
  if fields.takeover then
    return "TakenOver", "TakeOver", true, ("took it over from a holder that is gone or out of time; fence %d"):format(
      fields.fence)
  end
  return "Acquired", "Acquire", false, ("holds it; fence %d"):format(fields.fence)
end

local function of_version(fields)
  return fields.version and fields.version ~= "" and (" version %s"):format(fields.version) or ""
end

local TELL = {
  claim = grant,
  accept = function(fields)
    return "HandedOver", "Accept", false, ("holds it, handed over; fence %d"):format(fields.fence)
  end,
  complete = function(fields)
    return "Executed", "Complete", false, ("executed%s; fence %d"):format(of_version(fields), fields.fence)
  end,
  fail = function(fields)
    local note = ("failed in attempt %d%s with exit code %s%s"):format(fields.attempts, of_version(fields),
      tostring(fields.code or "none"), fields.final and "; none is left: koncli once reset" or "")
    return fields.final and "FailedForGood" or "Failed", "Fail", true, note
  end,
  lost = function(fields)
    local note = "lost its hold, fence %s, before the work had ended (%s); the work was stopped"
    return "HoldLost", "Stop", true, note:format(tostring(fields.fence), tostring(fields.why))
  end,
  revoke = function(fields)
    return "Revoked", "Revoke", true, ("took it by force from %s, who had it under fence %.0f"):format(fields.from,
      fields.fence)
  end,
  superseded = function(fields)
    return "Superseded", "Stop", true, ("worked%s under fence %d, but the record is at fence %s: it may be done twice")
      :format(of_version(fields), fields.fence, tostring(fields.theirs))
  end,
}

---@class konductor.EventsOptions
---@field store "kube"|"kube-lease"
---@field namespace string
---@field holder string

-- The object of the API that an event is about; nil when its name is not known.
local function regarding(options, fields, uid)
  local resource, name = rights.place(options.store, fields)
  if not resource then
    return nil
  end
  local is_custom = options.store == "kube"
  return {
    apiVersion = is_custom and "konductor.io/v1" or "coordination.k8s.io/v1",
    kind = not is_custom and "Lease" or resource == "records" and "Record" or fields.kind,
    namespace = options.namespace, name = name, uid = uid,
  }
end

--- The Event for a line of the event log, or nil when it tells nothing to others. Pure.
---@param options konductor.EventsOptions
---@param name string
---@param fields table
---@param context { uid?: string, wall: string, mark: string }
---@return table?
function M.describe(options, name, fields, context)
  local tell = TELL[name]
  local object = tell and fields.kind and context.uid and regarding(options, fields, context.uid)
  if not tell or not object then
    return nil
  end
  local reason, action, is_warning, note = tell(fields)
  return {
    apiVersion = "events.k8s.io/v1", kind = "Event",
    metadata = {
      name = ("%s.%s"):format(object.name:sub(1, NAME_MAX - 1 - #context.mark):gsub("[.-]+$", ""), context.mark),
      namespace = options.namespace,
    },
    eventTime = context.wall, type = is_warning and "Warning" or "Normal", reason = reason, action = action,
    note = text.clip(("%s %s"):format(options.holder, note), NOTE_MAX), regarding = object,
    reportingController = CONTROLLER, reportingInstance = text.clip(options.holder, INSTANCE_MAX),
  }
end

---@class konductor.EventReporter
---@field w konductor.World
---@field request fun(given: table): table?, string?, string?
---@field options konductor.EventsOptions
---@field uids table<string, string>  of the objects that this process has held
---@field queue table[]
---@field tokens integer
---@field is_off boolean
---@field is_busy boolean
local Reporter = {}
Reporter.__index = Reporter

---@param w konductor.World
---@param request fun(given: table): table?, string?, string?  of the store
---@param options konductor.EventsOptions
---@return konductor.EventReporter
function M.new(w, request, options)
  return setmetatable({
    w = w, request = request, options = options, uids = {}, queue = {}, tokens = BURST, filled_at = w.now(), sent = 0,
    is_off = false, is_busy = false,
  }, Reporter)
end

local function may_send(self)
  local now = self.w.now()
  local new = math.floor((now - self.filled_at) / REFILL_MS)
  if new > 0 then
    self.tokens, self.filled_at = math.min(self.tokens + new, BURST), self.filled_at + new * REFILL_MS
  end
  if self.is_off or self.tokens == 0 or #self.queue >= QUEUE_MAX then
    return false
  end
  self.tokens = self.tokens - 1
  return true
end

local function send(self, event)
  local answer, word, detail = self.request {
    method = "POST", path = ("/apis/events.k8s.io/v1/namespaces/%s/events"):format(self.options.namespace),
    body = event, limit_ms = LIMIT_MS,
  }
  if answer and answer.status >= 400 and answer.status < 500 and answer.status ~= 429 then
    self.is_off = true
    self.w.log("debug", ("no Kubernetes Events are written: the server answered %d"):format(answer.status))
  elseif not answer then
    self.w.log("debug", ("a Kubernetes Event was not written: %s"):format(detail or word))
  end
end

local function work(self)
  while self.queue[1] and not self.is_off do
    send(self, table.remove(self.queue, 1))
  end
  self.is_busy = false
  if self.idle then
    self.idle:post { type = "idle" }
  end
end

--- Takes an event in, as a listener of the event log.
---@param name string
---@param fields table
function Reporter:take(name, fields)
  local key = fields.kind and fields.name and fields.kind .. "/" .. fields.name
  if key and fields.uid then
    self.uids[key] = fields.uid
  end
  if not key or not TELL[name] or not may_send(self) then
    return
  end
  self.sent = self.sent + 1
  local event = M.describe(self.options, name, fields, {
    uid = self.uids[key], wall = self.w.wall(), mark = ("%s-%d"):format(self.w.session:sub(1, 12), self.sent),
  })
  if event then
    self.queue[#self.queue + 1] = event
    if not self.is_busy then
      self.is_busy = true
      self.w.task(nil, work, self)
    end
  end
end

--- Waits until all that was taken in is sent, at most for so long: at the end of a process that has
--- nothing else to do. *waits*
---@param limit_ms integer
function Reporter:flush(limit_ms)
  if self.is_busy then
    self.idle = self.w.inbox()
    self.idle:wait(self.w.now() + limit_ms)
    self.idle:close()
    self.idle = nil
  end
end

return M
