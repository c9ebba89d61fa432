--- Records kept as objects of the model of an API server: what core/kube_crd.c and
--- core/store_kube.c are for a real one. A Once and a Lease are custom resources of their own,
--- every other kind is a Record whose spec names the kind. Status is written through its
--- subresource by a manager that says on whose behalf; ages come from managedFields and Date.
---
--- Names are not shortened and answers not searched for what a definition dropped, because the
--- model takes any name and drops nothing.

local rfc3339 = require "konductor.kube.rfc3339"

local M = {}

local NAMESPACE = "default"
local LABEL = "konductor.io/kind"
local MANAGERS = { holder = "konductor-holder", queue = "konductor-queue", gc = "konductor-gc" }
local TYPED = { Once = "onces.konductor.io", Lease = "leases.konductor.io" }
local RECORDS = "records.konductor.io"
local WRITES = { create = true, update_status = true, delete = true }

local ARRAY = { __jsontype = "array" }

--- A value as it comes back from a store that keeps JSON: no shared tables, lists marked.
local function copy(value)
  local kind = type(value)
  if kind == "table" then
    local meta = getmetatable(value)
    local out = {}
    for k, v in pairs(value) do
      if type(k) ~= "string" and type(k) ~= "number" then
        error("a " .. type(k) .. " cannot be a key in a stored value", 0)
      end
      out[k] = copy(v)
    end
    if value[1] ~= nil or meta and meta.__jsontype == "array" then
      setmetatable(out, ARRAY)
    end
    return out
  elseif kind == "string" or kind == "boolean" or kind == "number" and value == value
    and value > -math.huge and value < math.huge then
    return value
  end
  error("a " .. kind .. " cannot be stored: " .. tostring(value), 0)
end

M.copy = copy

-- The same of what was stored, and so was found in order before.
local function own(stored)
  local out = {}
  for k, v in pairs(stored) do
    out[k] = type(v) == "table" and own(v) or v
  end
  return setmetatable(out, getmetatable(stored))
end

---@class konductor.sim.KubeStore
---@field server konductor.sim.ApiServer
local Store = {}
Store.__index = Store

---@param server konductor.sim.ApiServer
---@return konductor.sim.KubeStore
function M.new(server)
  server:namespace(NAMESPACE)
  return setmetatable({ server = server }, Store)
end

--- Which resource keeps a record, and under which name.
---@return string resource
---@return string name
local function place_of(kind, name)
  local typed = TYPED[kind]
  if typed then
    return typed, name
  end
  return RECORDS, kind:lower() .. "." .. name
end

--- Kind and name of the record that an object keeps.
---@return string kind
---@return string name
function M.identify(object)
  if object.kind ~= "Record" then
    return object.kind, object.metadata.name
  end
  local kind = object.spec.kind
  return kind, object.metadata.name:sub(#kind + 2)
end

-- Milliseconds since 1970 of the times that were met last: they are few, and come again and again.
local known, known_count = {}, 0

local function ms_of(text)
  local ms = known[text]
  if not ms then
    if known_count >= 1024 then
      known, known_count = {}, 0
    end
    ms = rfc3339.parse(text)
    known[text], known_count = ms, known_count + 1
  end
  return ms
end

local function age_ms(metadata, date)
  local newest
  for _, entry in ipairs(metadata.managedFields or {}) do
    if entry.manager ~= MANAGERS.queue and (not newest or entry.time > newest) then
      newest = entry.time
    end
  end
  return newest and math.max(0, date * 1000 - ms_of(newest)) or 0
end

-- What a definition's defaults make of no status at all.
local function is_default(status)
  local field = next(status)
  return field == "phase" and next(status, field) == nil
end

--- An object as a record of its own.
---@param object table
---@param date integer  the server's clock, s
---@return konductor.Record
function M.record(object, date)
  local metadata, status = object.metadata, object.status
  local kind, name = M.identify(object)
  local typed = object.kind ~= "Record"
  return {
    kind = kind,
    name = name,
    uid = metadata.uid,
    rev = tonumber(metadata.resourceVersion),
    generation = metadata.generation,
    deleting = metadata.deletionTimestamp ~= nil or nil,
    created = metadata.creationTimestamp,
    age_ms = age_ms(metadata, date),
    spec = own(typed and object.spec or object.spec.data or {}),
    status = status and not (typed and is_default(status)) and own(status) or {},
  }
end

local function is_of_object(status, name)
  return status.details and status.details.name == name and status.details.kind ~= "namespaces"
end

-- The word for an answer that is not the wanted one.
local function refusal(request, answer)
  local code = answer and answer.status
  if not code or code >= 500 then
    return WRITES[request.verb] and "unknown" or "store"
  elseif code == 404 then
    return is_of_object(answer.body, request.name) and "absent" or "config"
  elseif code == 409 and answer.body.reason == "AlreadyExists" then
    return "exists"
  elseif code == 409 or code == 410 then
    return "conflict"
  elseif code == 429 then
    return "busy"
  elseif code == 403 then
    local cause = answer.body.details.causes
    return cause and cause[1].reason == "NamespaceTerminating" and "config" or "denied"
  end
  return "config"
end

local function call(self, request, fault)
  request.namespace = NAMESPACE
  local answer = self.server:call(request, fault)
  if answer and answer.status <= 201 then
    return answer
  end
  return nil, refusal(request, answer), answer and answer.body.message or "no answer"
end

local function call_for_record(self, request, fault)
  local answer, code, detail = call(self, request, fault)
  if not answer then
    return nil, code, detail
  end
  return M.record(answer.body, answer.date)
end

--- Each verb takes, last, a fault of the server (apiserver.lua). A spec or status that is given
--- becomes the server's; a record that comes back is the caller's own.
---@return konductor.Record?, string?, string?
function Store:get(kind, name, fault)
  local resource, object = place_of(kind, name)
  return call_for_record(self, { verb = "get", resource = resource, name = object }, fault)
end

---@return konductor.Record[]?, string?, string?
function Store:list(kind, fault)
  local resource = place_of(kind, "")
  local query = resource == RECORDS and { labelSelector = LABEL .. "=" .. kind } or nil
  local answer, code, detail = call(self, { verb = "list", resource = resource, query = query }, fault)
  if not answer then
    return nil, code, detail
  end
  local records = {}
  for i, object in ipairs(answer.body.items) do
    records[i] = M.record(object, answer.date)
  end
  return records
end

---@return konductor.Record?, string?, string?
function Store:create(kind, name, spec, fault)
  local resource, object = place_of(kind, name)
  if resource == RECORDS then
    spec = { kind = kind, data = spec }
  end
  return call_for_record(self, {
    verb = "create", resource = resource,
    body = { metadata = { name = object, labels = { [LABEL] = kind } }, spec = spec },
  }, fault)
end

local function version_of(record)
  return { uid = record.uid, resourceVersion = ("%.0f"):format(record.rev) }
end

---@param record {kind: string, name: string, uid: string, rev: integer}
---@param how? {by?: string}
---@return konductor.Record?, string?, string?
function Store:replace(record, status, how, fault)
  local resource, object = place_of(record.kind, record.name)
  return call_for_record(self, {
    verb = "update_status", resource = resource, name = object,
    body = { metadata = version_of(record), status = status },
    query = { fieldManager = MANAGERS[how and how.by or "holder"] },
  }, fault)
end

---@return boolean?, string?, string?
function Store:delete(record, fault)
  local resource, object = place_of(record.kind, record.name)
  local answer, code, detail = call(self, {
    verb = "delete", resource = resource, name = object, body = { preconditions = version_of(record) },
  }, fault)
  if not answer then
    return nil, code, detail
  end
  return true
end

--- On whose behalf a manager writes: "holder", "queue", "gc", or nil for a stranger.
function M.by(manager)
  for by, name in pairs(MANAGERS) do
    if name == manager then
      return by
    end
  end
end

return M
