--- Verbs of the model of an API server that read: get, list, watch.

local answers = require "konductor.sim.apiserver.answers"
local watches = require "konductor.sim.apiserver.watches"

local M = {}

--- Lists of which somebody has not read the last page; older ones are too old to go on with.
local MAX_PAGED = 16

function M.get(_, held, key, request)
  local object = held.objects[key]
  if not object then
    return answers.not_found(held.resource, request.name)
  end
  return { status = 200, body = object }
end

-- Those of a field that names one object, and of labels that have one value each.
local function matcher(request)
  local query = request.query or {}
  local name = query.fieldSelector and query.fieldSelector:match "^metadata%.name=(.*)$"
  if query.fieldSelector and not name then
    return nil, answers.bad_request("field label not supported: " .. (query.fieldSelector:match "^[^=!]*"))
  end
  local labels = {}
  for label, value in (query.labelSelector or ""):gmatch "([^=,]+)=([^,]*)" do
    labels[label] = value
  end
  local namespace = request.namespace
  return function(object)
    local metadata = object.metadata
    if metadata.namespace ~= namespace or name and metadata.name ~= name then
      return false
    end
    for label, value in pairs(labels) do
      if not metadata.labels or metadata.labels[label] ~= value then
        return false
      end
    end
    return true
  end
end

local function found(objects, matches)
  local items = {}
  for _, object in pairs(objects) do
    if matches(object) then
      items[#items + 1] = object
    end
  end
  table.sort(items, function(a, b) return a.metadata.name < b.metadata.name end)
  return items
end

-- The rest of a list that was begun: as it was at the version of its first page.
local function rest_of(self, token)
  local id, first = token:match "^(%d+):(.*)$"
  if not id then
    return nil, answers.bad_request("invalid continue token: continue key is not valid: missing version")
  end
  local paged = self.paged[tonumber(id)]
  if not paged then
    return nil, answers.expired("The provided continue parameter is too old to display a consistent list result. You "
      .. "can start a new list without the continue parameter.")
  end
  local rest = {}
  for i = 1, #paged.items do
    if paged.items[i].metadata.name >= first then
      rest[#rest + 1] = paged.items[i]
    end
  end
  return { id = id, items = rest, rev = paged.rev }
end

-- The first objects of what was found, and how to get the others.
local function page_of(self, all, limit)
  if not all.id then
    self.lists = self.lists + 1
    all.id = self.lists
    self.paged[all.id] = all
    self.paged[all.id - MAX_PAGED] = nil
  end
  local page = {}
  for i = 1, limit do
    page[i] = all.items[i]
  end
  return page, all.id .. ":" .. all.items[limit + 1].metadata.name, #all.items - limit
end

function M.list(self, held, _, request)
  local query = request.query or {}
  local matches, refused = matcher(request)
  if not matches then
    return refused
  end
  local all
  if query.continue then
    all, refused = rest_of(self, query.continue)
    if not all then
      return refused
    end
  else
    all = { items = found(held.objects, matches), rev = tostring(self.rev) }
  end
  local limit = tonumber(query.limit) or 0
  local items, metadata = all.items, { resourceVersion = all.rev, continue = "" }
  if limit > 0 and #items > limit then
    items, metadata.continue, metadata.remainingItemCount = page_of(self, all, limit)
  end
  local resource = held.resource
  return {
    status = 200,
    body = { apiVersion = resource.api_version, kind = resource.kind .. "List", metadata = metadata, items = items },
  }
end

function M.watch(self, held, _, request)
  local matches, refused = matcher(request)
  if not matches then
    return refused
  end
  local query = request.query or {}
  return { status = 200, watch = watches.open(self, held.resource, held.log, matches, query,
    query.resourceVersion and query.resourceVersion ~= "0" and {} or found(held.objects, matches)) }
end

return M
