--- Before a script starts anything on a Kubernetes store: has it the rights that it needs?
---
--- One request, a SelfSubjectRulesReview, tells all rights of this identity in the namespace.
--- What is missing is named together with the lines of a Role that would grant it, so that
--- nobody learns of the second missing right only after the first has been mended. The pure
--- part is rights.lua.

local failure = require "konductor.failure"
local rights = require "konductor.kube.rights"
local yaml = require "konductor.kube.yaml"

local M = {}

local PATH = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"

local function named(missing)
  if missing.verb == "create" then
    return ("create %s (where an object is not there yet)"):format(missing.resource)
  end
  return ("%s %s%s"):format(missing.verb, missing.resource, missing.name and (' "%s"'):format(missing.name) or "")
end

--- The rules that grant what is missing, each on one line as it stands under `rules:` of a Role.
---@param missing konductor.MissingRight[]
---@return string[]
function M.lines(missing)
  local lines = {}
  for i, rule in ipairs(rights.granting(missing)) do
    lines[i] = "- " .. yaml.line(rule)
  end
  return lines
end

--- What to tell about rights that are missing.
---@param missing konductor.MissingRight[]
---@param namespace string
---@return string
function M.sentence(missing, namespace)
  local words = {}
  for i, each in ipairs(missing) do
    words[i] = named(each)
  end
  return ("rights are missing in namespace %s: %s; rules of a Role that grant them:"):format(
    namespace, table.concat(words, ", "))
end

--- A refusal of the API server, with the rule that would have allowed it; other sentences as
--- they are.
---@param sentence string
---@return string
function M.explain(sentence)
  local missing = rights.refused(sentence)
  if not missing then
    return sentence
  end
  return ("%s; a rule of a Role that grants it: %s"):format(sentence, M.lines { missing }[1])
end

--- The body of the request.
---@param namespace string
---@return table
function M.question(namespace)
  return {
    apiVersion = "authorization.k8s.io/v1", kind = "SelfSubjectRulesReview", spec = { namespace = namespace },
  }
end

--- Asks for the rights of this identity and compares. A server that gives no answer proves
--- nothing: the store itself will say what is wrong. *waits*
---@param request fun(given: table): table?, string?, string?  of the store
---@param objects konductor.Right[]
---@param store "kube"|"kube-lease"
---@param namespace string
---@return string? refusal
---@return string[]? lines  of a Role that end it
---@return boolean? events  false: this identity may not write Kubernetes Events
function M.check(request, objects, store, namespace)
  if not objects[1] then
    return nil
  end
  local answer = request { method = "POST", path = PATH, body = M.question(namespace) }
  local review = answer and type(answer.body) == "table" and answer.body.status
  if type(review) ~= "table" then
    return nil
  end
  local missing = rights.missing(rights.rules(objects, { store = store }), review)
  if missing[1] then
    return M.sentence(missing, namespace), M.lines(missing)
  end
  return nil, nil, rights.may_write_events(review)
end

--- The same for a script that was loaded, before it starts anything. *waits*
---@param program konductor.Program
---@param choice konductor.StoreChoice
---@param request fun(given: table): table?, string?, string?  of the store
---@return konductor.Failure?
---@return boolean? events  as of check()
function M.refuse(program, choice, request)
  if choice.kind ~= "kube" and choice.kind ~= "kube-lease" then
    return nil
  end
  local objects = rights.objects(program)
  local sentence, lines, events = M.check(request, objects, choice.kind, choice.namespace)
  if sentence then
    local refusal = failure.new("denied", sentence)
    refusal.lines = lines
    return refusal
  end
  return nil, events
end

return M
