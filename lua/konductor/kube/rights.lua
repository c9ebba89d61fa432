--- The least rights that a script needs on a Kubernetes store, as rules of RBAC. Pure.
---
---   objects, notes = rights.objects(program)      what a script names
---   rules          = rights.rules(objects, { store = "kube" })
---   missing        = rights.missing(rules, answer)  of a SelfSubjectRulesReview
---
--- Every right but `create` is bound to names: the API server takes a list or watch with the
--- field selector metadata.name=X for one of X. A creation has no name yet, so it cannot be
--- bound; without that right the objects must be there before the script runs.
---
--- `update` is on the subresource status alone in custom resources: who may hold is not who
--- may define. A coordination Lease has no such subresource. There is none on secrets, and no
--- patch and none on pods, unless a lease has a `pod_label`: the names of Pods are not known.

local text = require "konductor.text"

local M = {}

local READ = { "get", "list", "watch" }
local NAME_MAX = 253

--- The kind of the Pods among which a label is moved; no policy can have it.
M.PODS = "pods"

local GROUP = { kube = "konductor.io", ["kube-lease"] = "coordination.k8s.io" }
local PLURAL = { Once = "onces", Lease = "leases" }

---@class konductor.Right      one object that a script uses
---@field kind string
---@field name string
---@field deletes boolean?     its record is collected after a ttl
---@field reads boolean?       it is only looked at

---@class konductor.RbacRule
---@field apiGroups string[]
---@field resources string[]
---@field verbs string[]
---@field resourceNames string[]?

-- What a script names ---------------------------------------------------------------------

local function note_function(notes, what)
  notes[#notes + 1] = what .. " is a function; objects that it names only when it runs are not here"
end

--- The objects of a script that was loaded, and what could not be known of them.
---@param program konductor.Program
---@return konductor.Right[] objects
---@return string[] notes
function M.objects(program)
  local objects, notes, seen = {}, {}, {}
  local function add(kind, name, deletes, reads)
    local key = kind .. "/" .. name
    if not seen[key] then
      seen[key] = { kind = kind, name = name, deletes = false, reads = true }
      objects[#objects + 1] = seen[key]
    end
    seen[key].deletes = seen[key].deletes or deletes ~= nil
    seen[key].reads = seen[key].reads and reads or nil
  end
  for _, item in ipairs(program.items) do
    local onces = item.type == "once" and { item } or item.flow and item.flow.stages or {}
    for _, once in ipairs(onces) do
      add("Once", once.object, once.ttl)
      if once.fn then
        note_function(notes, ('%s "%s"'):format(item.type == "once" and "once" or "stage", once.name))
      end
    end
  end
  for _, lease in ipairs(program.leases) do
    add("Lease", lease.name)
    if lease.pod_label then
      add(M.PODS, "")
    end
    if lease.main and lease.main.fn then
      note_function(notes, ('the main of lease "%s"'):format(lease.name))
    end
  end
  for _, use in text.spairs(program.uses) do
    add(use.kind, use.name, use.ttl, use.watches and not use.runs)
  end
  for _, step in ipairs(program.steps) do
    if step.what:find "^k%.store%." then
      notes[#notes + 1] = ("%s: %s; objects that it reads and writes by itself are not here"):format(
        step.place, step.what)
    end
  end
  return objects, notes
end

-- Rules -----------------------------------------------------------------------------------

--- Resource and name under which a store keeps an object. Without them: a sentence.
---@param store "kube"|"kube-lease"
---@param object konductor.Right
---@return string? resource
---@return string name  or the sentence
function M.place(store, object)
  local own = PLURAL[object.kind]
  local name = object.name
  if store == "kube-lease" and object.kind ~= "Lease" or store == "kube" and not own then
    name = object.kind:lower() .. "." .. name
  end
  if #name > NAME_MAX then
    return nil, ("%s %s has a name so long that the store shortens it; its rules are not here"):format(
      object.kind, object.name)
  end
  return store == "kube" and (own or "records") or "leases", name
end

local function rule(group, resources, verbs, names)
  local copy = {}
  for i, verb in ipairs(verbs) do
    copy[i] = verb
  end
  return { apiGroups = { group }, resources = resources, verbs = copy, resourceNames = names }
end

-- Resources in the order of their first use, each with the names that are read, written and deleted there.
local function sort_places(objects, store)
  local places, of, notes = {}, {}, {}
  for _, object in ipairs(objects) do
    local resource, name = M.place(store, object)
    if not resource then
      notes[#notes + 1] = name
    else
      local place = of[resource] or { resource = resource, reads = {}, writes = {}, deletes = {} }
      if not of[resource] then
        of[resource], places[#places + 1] = place, place
      end
      table.insert(object.reads and place.reads or place.writes, name)
      if object.deletes then
        table.insert(place.deletes, name)
      end
    end
  end
  return places, notes
end

-- Rules for the objects of one resource. Where holding is a right of its own, what is written is read by the same rule
-- as what is only read.
local function add_place(rules, group, place, store)
  local function add(resource, verbs, names)
    if names[1] then
      rules[#rules + 1] = rule(group, { resource }, verbs, names)
    end
  end
  if store == "kube-lease" then
    add(place.resource, { "get", "list", "watch", "update" }, place.writes)
    add(place.resource, READ, place.reads)
  else
    local all = {}
    for _, names in ipairs { place.writes, place.reads } do
      for _, name in ipairs(names) do
        all[#all + 1] = name
      end
    end
    add(place.resource, READ, all)
    add(place.resource .. "/status", { "update" }, place.writes)
  end
  add(place.resource, { "delete" }, place.deletes)
end

---@class konductor.RightsOptions
---@field store "kube"|"kube-lease"
---@field create boolean?   default true: the script may make objects that are not there
---@field events boolean?   Kubernetes Events may be written

--- The rules for these objects.
---@param objects konductor.Right[]
---@param options konductor.RightsOptions
---@return konductor.RbacRule[] rules
---@return string[] notes  what has no rule, and why
function M.rules(objects, options)
  local group = GROUP[options.store]
  local ours, labels_pods = {}, false
  for _, object in ipairs(objects) do
    ours[#ours + 1] = object.kind ~= M.PODS and object or nil
    labels_pods = labels_pods or object.kind == M.PODS
  end
  local places, notes = sort_places(ours, options.store)
  local rules, made = {}, {}
  for _, place in ipairs(places) do
    add_place(rules, group, place, options.store)
    made[#made + 1] = place.writes[1] and place.resource or nil
  end
  if made[1] and options.create ~= false then
    rules[#rules + 1] = rule(group, made, { "create" })
  end
  if labels_pods then
    rules[#rules + 1] = rule("", { M.PODS }, { "list", "patch" })
  end
  if options.events then
    rules[#rules + 1] = rule("events.k8s.io", { "events" }, { "create" })
  end
  return rules, notes
end

-- Manifests -------------------------------------------------------------------------------

--- A Role with these rules.
---@param rules konductor.RbacRule[]
---@param name string
---@param namespace string
---@return table
function M.role(rules, name, namespace)
  return {
    apiVersion = "rbac.authorization.k8s.io/v1", kind = "Role",
    metadata = { name = name, namespace = namespace }, rules = rules,
  }
end

--- The binding of that Role to a service account.
---@param name string
---@param namespace string
---@param account string
---@return table
function M.binding(name, namespace, account)
  return {
    apiVersion = "rbac.authorization.k8s.io/v1", kind = "RoleBinding",
    metadata = { name = name, namespace = namespace },
    roleRef = { apiGroup = "rbac.authorization.k8s.io", kind = "Role", name = name },
    subjects = { { kind = "ServiceAccount", name = account, namespace = namespace } },
  }
end

-- What somebody has -----------------------------------------------------------------------

local function contains(list, wanted)
  for _, each in ipairs(list or {}) do
    if each == wanted then
      return true
    end
  end
  return false
end

-- The star stands for all, but not among the names of objects.
local function matches(list, wanted)
  return contains(list, wanted) or contains(list, "*")
end

local function covers(have, verb, group, resource, name)
  local names = have.resourceNames
  local subresource = resource:match "/(.+)$"
  return matches(have.verbs, verb) and matches(have.apiGroups, group)
    and (matches(have.resources, resource) or subresource ~= nil and contains(have.resources, "*/" .. subresource))
    and (not names or names[1] == nil or name ~= nil and contains(names, name))
end

local function may(answer, verb, group, resource, name)
  for _, have in ipairs(answer.resourceRules or {}) do
    if covers(have, verb, group, resource, name) then
      return true
    end
  end
  return false
end

---@class konductor.MissingRight
---@field verb string
---@field group string
---@field resource string
---@field name string?

-- Rights that are bound to no name and not needed by all, those of creating objects.
local function add_unbound(missing, rules, answer)
  for _, need in ipairs(rules) do
    for _, resource in ipairs(need.resourceNames and {} or need.resources) do
      for _, verb in ipairs(need.verbs) do
        if verb == "create" and resource ~= "events" and not may(answer, verb, need.apiGroups[1], resource) then
          missing[#missing + 1] = { verb = verb, group = need.apiGroups[1], resource = resource }
        end
      end
    end
  end
end

--- What these rules ask for and the answer does not give. Nothing when the answer says that
--- it is not complete: then absence proves nothing. `create` alone does not count, because objects
--- may be there already; but who has to mend a Role anyway should not learn of it only after
--- that. Events are a courtesy and never count.
---@param rules konductor.RbacRule[]
---@param answer { resourceRules: table[]?, incomplete: boolean? }  status of a SelfSubjectRulesReview
---@return konductor.MissingRight[]
function M.missing(rules, answer)
  local missing = {}
  if answer.incomplete then
    return missing
  end
  for _, need in ipairs(rules) do
    local group, resource = need.apiGroups[1], need.resources[1]
    for _, name in ipairs(need.resourceNames or resource == M.PODS and { false } or {}) do
      for _, verb in ipairs(need.verbs) do
        if not may(answer, verb, group, resource, name or nil) then
          missing[#missing + 1] = { verb = verb, group = group, resource = resource, name = name or nil }
        end
      end
    end
  end
  if missing[1] then
    add_unbound(missing, rules, answer)
  end
  return missing
end

-- What is missing of each object: the same rule for all of which the same verbs are missing.
local function by_object(missing)
  local list, of = {}, {}
  for _, each in ipairs(missing) do
    local key = ("%s %s %s"):format(each.group, each.resource, each.name or "")
    if not of[key] then
      of[key] = { group = each.group, resource = each.resource, name = each.name, verbs = {} }
      list[#list + 1] = of[key]
    end
    table.insert(of[key].verbs, each.verb)
  end
  return list
end

--- Whether Kubernetes Events may be written, as far as the answer knows.
---@param answer { resourceRules: table[]?, incomplete: boolean? }
---@return boolean
function M.may_write_events(answer)
  return answer.incomplete == true or may(answer, "create", "events.k8s.io", "events")
end

--- Rules that would give what is missing.
---@param missing konductor.MissingRight[]
---@return konductor.RbacRule[]
function M.granting(missing)
  local rules, of = {}, {}
  for _, each in ipairs(by_object(missing)) do
    local key = ("%s %s %s"):format(each.group, each.resource, table.concat(each.verbs, ","))
    if not of[key] then
      of[key] = rule(each.group, { each.resource }, each.verbs, each.name and {})
      rules[#rules + 1] = of[key]
    end
    if each.name then
      table.insert(of[key].resourceNames, each.name)
    end
  end
  return rules
end

--- What a refusal of the API server was about: `onces.konductor.io "x" is forbidden: User "..."
--- cannot get resource "onces" in API group "konductor.io" in the namespace "shop"`.
---@param sentence string
---@return konductor.MissingRight?
function M.refused(sentence)
  local verb, resource, group = sentence:match 'cannot (%l+) resource "([^"]+)" in API group "([^"]*)"'
  if not verb then
    return nil
  end
  local name = verb ~= "create" and sentence:match '^[^"]* "([^"]+)" is forbidden'
    or verb ~= "create" and sentence:match '[%w.]+ "([^"]+)" is forbidden' or nil
  return { verb = verb, group = group, resource = resource, name = name }
end

return M
