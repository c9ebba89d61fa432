--- Who wrote which field of an object, and when: metadata.managedFields of updates.
---
--- The rules are those of the server, found there: a manager's time moves when it changes or
--- adds a value, not when it only removes; who changes a value takes it from the others; who
--- owns nothing any more is forgotten; of more than ten the oldest become one.
---
--- An entry's fieldsV1 is a flat set of paths here, because only times are read. Lists are one
--- value each.

local M = {}

local MAX_MANAGERS = 10
local ANCIENT = "ancient-changes"

local function is_list(value)
  local meta = getmetatable(value)
  return value[1] ~= nil or meta ~= nil and meta.__jsontype == "array"
end

local function same(a, b)
  if a == b then
    return true
  elseif type(a) ~= "table" or type(b) ~= "table" or is_list(a) ~= is_list(b) then
    return false
  end
  for k, v in pairs(a) do
    if not same(v, b[k]) then
      return false
    end
  end
  for k in pairs(b) do
    if a[k] == nil then
      return false
    end
  end
  return true
end

M.same = same

local function all_of(value, path, out)
  out[#out + 1] = path
  if type(value) == "table" and not is_list(value) then
    for k, v in pairs(value) do
      all_of(v, path .. "." .. k, out)
    end
  end
end

--- The paths of values that were set and of values that went, added to the two lists. Either
--- value may be nil.
---@param old any
---@param new any
---@param path string
---@param set string[]
---@param gone string[]
local function compare(old, new, path, set, gone)
  if old == new then
    return
  elseif old == nil then
    all_of(new, path, set)
  elseif new == nil then
    all_of(old, path, gone)
  elseif type(old) ~= "table" and type(new) ~= "table" then
    set[#set + 1] = path
  elseif type(old) ~= "table" or type(new) ~= "table" then
    all_of(old, path, gone)
    all_of(new, path, set)
  elseif is_list(old) or is_list(new) then
    if not same(old, new) then
      set[#set + 1] = path
    end
  else
    for k, v in pairs(new) do
      if old[k] ~= v then
        compare(old[k], v, path .. "." .. k, set, gone)
      end
    end
    for k, v in pairs(old) do
      if new[k] == nil then
        all_of(v, path .. "." .. k, gone)
      end
    end
  end
end

M.compare = compare

local function copy_set(owned)
  local new = {}
  for path in pairs(owned) do
    new[path] = true
  end
  return new
end

-- The set without those paths, and then with the others; the same table if nothing changes.
local function changed_set(owned, without, with)
  local new = owned
  for i = 1, #without do
    if new[without[i]] then
      new = new == owned and copy_set(owned) or new
      new[without[i]] = nil
    end
  end
  for i = 1, #with do
    if not new[with[i]] then
      new = new == owned and copy_set(owned) or new
      new[with[i]] = true
    end
  end
  return new
end

local function older(a, b)
  if a.time ~= b.time then
    return a.time < b.time
  end
  return a.manager < b.manager
end

local function merge_oldest(entries)
  while #entries > MAX_MANAGERS do
    local first, second = entries[1], entries[2]
    local owned = {}
    for path in pairs(first.fieldsV1) do
      owned[path] = true
    end
    for path in pairs(second.fieldsV1) do
      owned[path] = true
    end
    table.remove(entries, 1)
    entries[1] = {
      manager = ANCIENT, operation = "Update", apiVersion = second.apiVersion, fieldsType = "FieldsV1",
      fieldsV1 = owned, time = second.time,
    }
  end
end

local NONE = {}

--- The entries after a write by a manager. The old list and its entries stay as they are.
---@param entries table[]?
---@param write {manager: string, subresource?: string, api_version: string, time: string}
---@param set string[]
---@param gone string[]
---@return table[]?
function M.update(entries, write, set, gone)
  local new, mine = {}, nil
  for i = 1, entries and #entries or 0 do
    local entry = entries[i]
    local own = entry.manager == write.manager and entry.subresource == write.subresource
    local owned = changed_set(entry.fieldsV1, gone, own and set or NONE)
    if not own then
      owned = changed_set(owned, set, NONE)
    end
    local time = own and #set > 0 and write.time or entry.time
    mine = mine or own
    if next(owned) ~= nil then
      if owned ~= entry.fieldsV1 or time ~= entry.time then
        entry = {
          manager = entry.manager, operation = "Update", apiVersion = entry.apiVersion, subresource = entry.subresource,
          fieldsType = "FieldsV1", fieldsV1 = owned, time = time,
        }
      end
      new[#new + 1] = entry
    end
  end
  if not mine and #set > 0 then
    new[#new + 1] = {
      manager = write.manager, operation = "Update", apiVersion = write.api_version, subresource = write.subresource,
      fieldsType = "FieldsV1", fieldsV1 = changed_set(NONE, NONE, set), time = write.time,
    }
  end
  if #new > 1 then
    table.sort(new, older)
    merge_oldest(new)
  end
  return new[1] and new or nil
end

return M
