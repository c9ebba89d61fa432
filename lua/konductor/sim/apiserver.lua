--- A Kubernetes API server in memory, as far as konductor uses one: the resources of kinds.lua,
--- at the level of calls. What it answers is what kube-apiserver answers; one list of claims
--- runs on both (tests/lua/conformance). No time passes here and nothing is lost: that is the
--- business of the network, which gives a call a fault, and of the caller's clock.
---
---   local server = apiserver.new { now_ms = ..., uid = ... }
---   server:namespace "default"
---   server:call { verb = "create", resource = "onces.konductor.io", namespace = "default",
---                 body = { metadata = { name = "x" }, spec = {} }, query = { fieldManager = "m" } }
---   --> { status = 201, body = {...}, date = 1767225600 }
---
--- Bodies are not copied: the server keeps what it is given, and answers with what it keeps.
--- Nobody may change either.
---
--- A fault is a closed table:
---   status, retry_after  the answer is this error instead
---   apply                with a status: "no" (the default), "yes" (applied before the error), or
---                        "later": the answer's own function land() applies it
---   twice                applied two times; the second answer is the one given
---   lost                 applied, but the answer is nil
---   stale                a get answers the state before the last write of the object, a list that
---                        before the last write of the resource

local answers = require "konductor.sim.apiserver.answers"
local clock = require "konductor.sim.clock"
local kinds = require "konductor.sim.apiserver.kinds"
local reads = require "konductor.sim.apiserver.reads"
local watches = require "konductor.sim.apiserver.watches"
local writes = require "konductor.sim.apiserver.writes"

local M = {}

--- Seconds from 1970 to the simulated world's time 0.
local EPOCH_S = 1767225600
--- Events of a resource that may still be watched.
local WINDOW = 1000
--- Of an empty etcd; 0 has a meaning of its own in requests.
local FIRST_REV = 1

local function copy_of(objects)
  local copy = {}
  for key, object in pairs(objects) do
    copy[key] = object
  end
  return copy
end

local VERBS = {
  get = reads.get, list = reads.list, watch = reads.watch,
  create = writes.create, update = writes.update, update_status = writes.update_status, delete = writes.delete,
}

---@class konductor.sim.Request
---@field verb "get"|"list"|"create"|"update"|"update_status"|"delete"|"watch"
---@field resource string        plural.group
---@field namespace string
---@field name? string           of all but create, list and watch
---@field body? table
---@field query? table           resourceVersion, fieldManager, fieldSelector, labelSelector, limit, continue,
---  allowWatchBookmarks, timeoutSeconds

---@class konductor.sim.ApiServer
---@field rev integer                      version of the last write, of whatever resource
---@field now_ms fun(): integer
---@field listeners fun(event: table)[]    called with each commit: type, rev, key, resource, manager,
---  object, before
local Server = {}
Server.__index = Server

---@param options {now_ms: (fun(): integer), uid: (fun(): string), window?: integer}
---@return konductor.sim.ApiServer
function M.new(options)
  local self = setmetatable({
    now_ms = options.now_ms, uid = options.uid, rev = FIRST_REV, namespaces = {}, resources = {}, listeners = {},
    paged = {}, lists = 0, window = options.window or WINDOW,
  }, Server)
  for name, resource in pairs(kinds) do
    self.resources[name] = {
      resource = resource, objects = {}, log = watches.log(self.window, FIRST_REV),
    }
  end
  return self
end

--- Makes a namespace, or changes its phase: "Active" or "Terminating".
---@param name string
---@param phase? string
function Server:namespace(name, phase)
  self.namespaces[name] = phase or "Active"
end

--- Forgets the past, as etcd does from time to time: old versions cannot be watched or listed.
function Server:compact()
  self.paged = {}
  for _, held in pairs(self.resources) do
    held.log:compact(self.rev)
  end
end

--- All that is stored, as a backup has it.
function Server:save()
  local saved = { rev = self.rev, objects = {} }
  for name, held in pairs(self.resources) do
    saved.objects[name] = copy_of(held.objects)
  end
  return saved
end

--- Goes back to a backup, versions included: the ones that came after it are given out again.
function Server:restore(saved)
  self.rev, self.paged = saved.rev, {}
  for name, held in pairs(self.resources) do
    held.objects = copy_of(saved.objects[name])
    held.log = watches.log(self.window, saved.rev)
  end
end

--- What the header Date says: seconds since 1970.
function Server:date()
  return EPOCH_S + math.floor(self.now_ms() / 1000)
end

--- The time now as objects show it, to the second.
function Server:time()
  local s = math.floor(self.now_ms() / 1000)
  if s ~= self.time_s then
    self.time_s = s
    self.time_text = clock.rfc3339(s * 1000000):sub(1, 19) .. "Z"
  end
  return self.time_text
end

-- The resource as it was before the last write of one object, or of any.
local function before_last(held, key)
  local log = held.log
  for i = log.last, log.first, -1 do
    local event = log.events[i]
    if not key or event.key == key then
      local objects = copy_of(held.objects)
      objects[event.key] = event.before
      return { resource = held.resource, objects = objects, log = log }
    end
  end
  return held
end

local function apply(self, request, stale)
  local held = self.resources[request.resource]
  if not held then
    return { status = 404, body = "404 page not found\n" }
  end
  local key = request.name and request.namespace .. "/" .. request.name
  if stale and (request.verb == "get" or request.verb == "list") then
    held = before_last(held, key)
  end
  return VERBS[request.verb](self, held, key, request)
end

local function troubled(self, request, fault)
  local answer = answers.trouble(fault.status, fault.retry_after)
  if fault.apply == "yes" then
    apply(self, request)
  elseif fault.apply == "later" then
    answer.land = function() return apply(self, request) end
  end
  return answer
end

---@param request konductor.sim.Request
---@param fault? table  see above
---@return {status: integer, body: table, date: integer, retry_after: integer?, watch: konductor.sim.Watch?}?
function Server:call(request, fault)
  local answer
  if not fault then
    answer = apply(self, request)
  elseif fault.status then
    answer = troubled(self, request, fault)
  else
    answer = apply(self, request, fault.stale)
    if fault.twice then
      answer = apply(self, request)
    end
    if fault.lost then
      return nil
    end
  end
  answer.date = self:date()
  return answer
end

return M
