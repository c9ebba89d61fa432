--- Verbs of the model of an API server that write: create, update, update_status, delete.
---
--- Objects are never changed once they are stored: a write makes a new one that shares what it
--- leaves alone. So whoever holds an object holds one version of it.

local answers = require "konductor.sim.apiserver.answers"
local fields = require "konductor.sim.apiserver.fields"

local M = {}

local function with_defaults(value, defaults)
  for name, default in pairs(defaults) do
    if value[name] == nil then
      value[name] = default
    end
  end
  return value
end

local function default_status(resource)
  return resource.empty_status and with_defaults({}, resource.empty_status)
end

local function commit(self, held, kind, key, object, before, manager)
  self.rev = self.rev + 1
  local event = {
    type = kind, rev = self.rev, key = key, resource = held.resource, object = object, before = before,
    manager = manager,
  }
  if kind == "DELETED" then
    held.objects[key] = nil
  else
    object.metadata.resourceVersion = tostring(self.rev)
    held.objects[key] = object
  end
  held.log:add(event)
  for i = 1, #self.listeners do
    self.listeners[i](event)
  end
end

-- What a writer may say of the metadata; the rest is the server's.
local OWN = { "labels", "annotations", "finalizers", "ownerReferences" }

local function note_metadata(old, new, set, gone)
  for i = 1, #OWN do
    local name = OWN[i]
    fields.compare(old and old[name], new[name], "metadata." .. name, set, gone)
  end
end

local function write_of(self, resource, request, subresource)
  return {
    manager = request.query and request.query.fieldManager or "unknown", subresource = subresource,
    api_version = resource.api_version, time = self:time(),
  }
end

local function list_or_nil(list)
  return list and list[1] ~= nil and list or nil
end

local function table_or_nil(value)
  return value and next(value) ~= nil and value or nil
end

local function refused_in(self, resource, request, name)
  local phase = self.namespaces[request.namespace]
  if not phase then
    return answers.no_namespace(request.namespace)
  elseif phase == "Terminating" then
    return answers.terminating(resource, name, request.namespace)
  end
end

local function create(self, held, key, request, name)
  local resource, body = held.resource, request.body
  local given = body.metadata
  local set = {}
  local spec = body.spec and with_defaults(body.spec, resource.spec_defaults)
  local object = {
    apiVersion = resource.api_version, kind = resource.kind, spec = spec,
    status = default_status(resource),
    metadata = {
      name = name, namespace = request.namespace, uid = self.uid(), creationTimestamp = self:time(),
      generation = resource.status and 1 or nil, labels = table_or_nil(given.labels),
      annotations = table_or_nil(given.annotations), finalizers = list_or_nil(given.finalizers),
      ownerReferences = list_or_nil(given.ownerReferences),
    },
  }
  note_metadata(nil, object.metadata, set, {})
  -- Of a resource that is built in, the fields alone are owned; of a custom one also what holds them.
  fields.compare(not resource.status and {} or nil, spec, "spec", set, {})
  object.metadata.managedFields = fields.update(nil, write_of(self, resource, request), set, {})
  commit(self, held, "ADDED", key, object)
  return { status = 201, body = object }
end

function M.create(self, held, _, request)
  local resource, given = held.resource, request.body.metadata
  local name = given.name
  local refused = refused_in(self, resource, request, name)
  if refused then
    return refused
  elseif given.resourceVersion and given.resourceVersion ~= "" then
    return answers.internal("resourceVersion should not be set on objects to be created")
  end
  local key = request.namespace .. "/" .. name
  if held.objects[key] then
    return answers.exists(resource, name)
  end
  return create(self, held, key, request, name)
end

-- What must hold before a PUT is looked at; nil when all of it does.
local function not_updatable(resource, request, object)
  local given, name = request.body.metadata, request.name
  if given.uid and given.uid ~= object.metadata.uid then
    return answers.other_uid(resource, request.namespace, name, given.uid, object.metadata.uid)
  elseif (given.resourceVersion or "") == "" then
    return answers.no_version(resource, name)
  elseif given.resourceVersion ~= object.metadata.resourceVersion then
    return answers.stale(resource, name)
  end
end

local function misplaced(request)
  local given = request.body.metadata
  if given.name and given.name ~= request.name then
    return answers.bad_request(("the name of the object (%s) does not match the name on the URL (%s)")
      :format(given.name, request.name))
  elseif given.namespace and given.namespace ~= request.namespace then
    return answers.bad_request("the namespace of the provided object does not match the namespace sent on the request")
  end
end

local function copy_metadata(object)
  local metadata = {}
  for name, value in pairs(object.metadata) do
    metadata[name] = value
  end
  return metadata
end

-- The object with those parts; unchanged parts are shared with the old one.
local function changed(object, metadata, spec, status)
  return { apiVersion = object.apiVersion, kind = object.kind, metadata = metadata, spec = spec, status = status }
end

function M.update_status(self, held, key, request)
  local resource, object = held.resource, held.objects[key]
  local refused = misplaced(request) or not object and answers.not_found(resource, request.name)
    or not_updatable(resource, request, object)
  if refused then
    return refused
  end
  local status = request.body.status
  status = status and with_defaults(status, resource.status_defaults) or default_status(resource)
  local set, gone = {}, {}
  fields.compare(object.status, status, "status", set, gone)
  if #set == 0 and #gone == 0 then
    return { status = 200, body = object }
  end
  local metadata = copy_metadata(object)
  local write = write_of(self, resource, request, "status")
  metadata.managedFields = fields.update(metadata.managedFields, write, set, gone)
  local new = changed(object, metadata, object.spec, status)
  commit(self, held, "MODIFIED", key, new, object, write.manager)
  return { status = 200, body = new }
end

local function put_to_nothing(self, held, key, request)
  local resource, uid = held.resource, request.body.metadata.uid
  if not resource.create_on_update then
    return answers.not_found(resource, request.name)
  elseif uid and uid ~= "" then
    return answers.other_uid(resource, request.namespace, request.name, uid, "")
  end
  return refused_in(self, resource, request, request.name) or create(self, held, key, request, request.name)
end

-- A PUT replaces all that is not the server's own: what is left out is gone.
local function put_metadata(object, given)
  local metadata = copy_metadata(object)
  metadata.labels = table_or_nil(given.labels)
  metadata.annotations = table_or_nil(given.annotations)
  metadata.finalizers = list_or_nil(given.finalizers)
  metadata.ownerReferences = list_or_nil(given.ownerReferences)
  return metadata
end

function M.update(self, held, key, request)
  local resource, object = held.resource, held.objects[key]
  local refused = misplaced(request)
  if not refused and not object then
    return put_to_nothing(self, held, key, request)
  end
  refused = refused or not_updatable(resource, request, object)
  if refused then
    return refused
  end
  local metadata = put_metadata(object, request.body.metadata)
  local spec = request.body.spec and with_defaults(request.body.spec, resource.spec_defaults)
  local set, gone = {}, {}
  note_metadata(object.metadata, metadata, set, gone)
  local of_metadata = #set + #gone
  fields.compare(object.spec, spec, "spec", set, gone)
  if #set == 0 and #gone == 0 then
    return { status = 200, body = object }
  elseif resource.status and #set + #gone > of_metadata then
    metadata.generation = metadata.generation + 1
  end
  metadata.managedFields = fields.update(metadata.managedFields, write_of(self, resource, request), set, gone)
  local new = changed(object, metadata, spec, object.status)
  if metadata.deletionTimestamp and not metadata.finalizers then
    commit(self, held, "DELETED", key, new, object)
  else
    commit(self, held, "MODIFIED", key, new, object)
  end
  return { status = 200, body = new }
end

function M.delete(self, held, key, request)
  local resource, object = held.resource, held.objects[key]
  if not object then
    return answers.not_found(resource, request.name)
  end
  local old = object.metadata
  local wanted = request.body and request.body.preconditions or {}
  if wanted.uid and wanted.uid ~= old.uid then
    return answers.delete_uid(resource, request.name, wanted.uid, old.uid)
  elseif wanted.resourceVersion and wanted.resourceVersion ~= old.resourceVersion then
    return answers.delete_version(resource, request.name, wanted.resourceVersion, old.resourceVersion)
  elseif not old.finalizers then
    commit(self, held, "DELETED", key, object, object)
    return answers.deleted(resource, request.name, old.uid)
  elseif old.deletionTimestamp then
    return { status = 200, body = object }
  end
  local metadata = copy_metadata(object)
  metadata.deletionTimestamp = self:time()
  metadata.deletionGracePeriodSeconds = 0
  metadata.generation = metadata.generation and metadata.generation + 1
  local new = changed(object, metadata, object.spec, object.status)
  commit(self, held, "MODIFIED", key, new, object)
  return { status = 200, body = new }
end

return M
