--- What the claims about an API server share: a desk to write objects from, and comparisons.

local M = {}

M.ONCES = "onces.konductor.io"
M.RECORDS = "records.konductor.io"
M.LEASES = "leases.coordination.k8s.io"

function M.equal(want, got, what)
  if want ~= got then
    error(("%s: want %s, got %s"):format(what, tostring(want), tostring(got)), 2)
  end
end

--- A list of claims, and the function that adds one.
function M.claims()
  local list = {}
  return list, function(name, run)
    list[#list + 1] = { name = name, run = run }
  end
end

local function told(answer)
  return ("%d %s"):format(answer.status, type(answer.body) == "table" and answer.body.message or "")
end

---@class conformance.Desk
local Desk = {}
Desk.__index = Desk

--- One namespace of a server, and requests that expect to succeed unless told otherwise.
function M.desk(api)
  return setmetatable({ api = api, namespace = api.namespace() }, Desk)
end

function Desk:call(verb, resource, name, body, query)
  return self.api.call {
    verb = verb, resource = resource, namespace = self.namespace, name = name, body = body, query = query,
  }
end

--- The body of an answer that must have this status.
function Desk:ask(status, ...)
  local answer = self:call(...)
  if answer.status ~= status then
    error(("want %d, got %s"):format(status, told(answer)), 2)
  end
  return answer.body
end

--- The Status of a call that is refused.
function Desk:refused(code, reason, ...)
  local answer = self:call(...)
  local body = answer.body
  if answer.status ~= code or body.reason ~= reason then
    error(("want %d %s, got %s, reason %s"):format(code, tostring(reason), told(answer), tostring(body.reason)), 2)
  end
  M.equal("Status", body.kind, "kind of a refusal")
  M.equal("Failure", body.status, "status of a refusal")
  M.equal(code, body.code, "code of a refusal")
  return body
end

function M.once(name, more)
  local metadata = { name = name }
  for key, value in pairs(more or {}) do
    metadata[key] = value
  end
  return { apiVersion = "konductor.io/v1", kind = "Once", metadata = metadata, spec = { ttl = "1h" } }
end

function Desk:once(name, more, query)
  return self:ask(201, "create", M.ONCES, nil, M.once(name, more), query)
end

--- The body of a PUT over that version of an object; metadata may be changed, or taken away by false.
function M.put(object, change, metadata)
  local body = { apiVersion = object.apiVersion, kind = object.kind, metadata = {} }
  for _, key in ipairs { "name", "namespace", "uid", "resourceVersion" } do
    body.metadata[key] = object.metadata[key]
  end
  for key, value in pairs(metadata or {}) do
    body.metadata[key] = value or nil
  end
  for key, value in pairs(change) do
    body[key] = value
  end
  return body
end

--- Writes a status of a Once as a manager; the new object.
function Desk:write(object, status, manager)
  return self:ask(200, "update_status", M.ONCES, object.metadata.name, M.put(object, { status = status }),
    { fieldManager = manager or "holder" })
end

function Desk:lease(name, spec, more)
  local metadata = { name = name }
  for key, value in pairs(more or {}) do
    metadata[key] = value
  end
  return { apiVersion = "coordination.k8s.io/v1", kind = "Lease", metadata = metadata, spec = spec }
end

function Desk:get(resource, name)
  return self:ask(200, "get", resource, name)
end

function Desk:delete(resource, name)
  return self:ask(200, "delete", resource, name)
end

function M.rev(object)
  local text = object.metadata.resourceVersion
  return assert(text:match "^%d+$" and tonumber(text), "a resourceVersion is no number: " .. tostring(text))
end

return M
