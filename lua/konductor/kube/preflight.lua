--- Before a script starts anything on a Kubernetes store: has it the rights that it needs?
---
--- One request, a SelfSubjectRulesReview, tells all rights of this identity in the namespace.
--- What is missing is named together with the lines of a Role that would grant it, so that
--- nobody learns of the second missing right only after the first has been mended. The pure
--- part is rights.lua.
---
--- A server that is starting refuses everybody until it has read its roles. So a refusal counts
--- only if the server says that it is ready, and still refuses after that.

local failure = require "konductor.failure"
local rights = require "konductor.kube.rights"
local yaml = require "konductor.kube.yaml"

local M = {}

local PATH = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
local READY_PATH = "/readyz"
--- How long a server may take to become ready, and how often it is asked.
local STARTING_MS = 10000
local PAUSE_MS = 250

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

--- Without an answer it may be about to start again. Everybody may ask this, whatever the roles are.
local function is_starting(request)
  local answer = request { method = "GET", path = READY_PATH }
  return answer == nil or answer.status >= 500
end

--- One review. No verdict when the server gives no answer, or one that is none.
---@return "allowed"|"refused"|nil verdict
---@return konductor.MissingRight[]|boolean|nil about  refused: what is missing, if that is known; allowed: whether
---  Kubernetes Events may be written
local function review(request, objects, store, namespace)
  local answer = request { method = "POST", path = PATH, body = M.question(namespace) }
  local status = answer and type(answer.body) == "table" and answer.body.status
  if type(status) ~= "table" then
    return answer and answer.status == 403 and "refused" or nil
  end
  local missing = rights.missing(rights.rules(objects, { store = store }), status)
  if missing[1] then
    return "refused", missing
  end
  return "allowed", rights.may_write_events(status)
end

--- Asks for the rights of this identity and compares. A server that gives no answer proves
--- nothing: the store itself will say what is wrong. *waits*
---@param world { now: (fun(): number), sleep: (fun(ms: number): boolean?), log: fun(level: string, text: string) }
---@param request fun(given: table): table?, string?, string?  of the store
---@param objects konductor.Right[]
---@param store "kube"|"kube-lease"
---@param namespace string
---@return string? refusal
---@return string[]? lines  of a Role that end it
---@return boolean? events  false: this identity may not write Kubernetes Events
function M.check(world, request, objects, store, namespace)
  if not objects[1] then
    return nil
  end
  local until_ms, told, ready = world.now() + STARTING_MS, false, false
  local verdict, about
  while true do
    verdict, about = review(request, objects, store, namespace)
    if verdict ~= "refused" or ready then
      break
    end
    ready = not is_starting(request)
    if not ready then
      if not told then
        told = true
        world.log("info", "the API server is starting: it is asked for our rights again")
      end
      if world.now() >= until_ms or not world.sleep(PAUSE_MS) then
        break
      end
    end
  end
  if verdict == "refused" and about then
    return M.sentence(about, namespace), M.lines(about)
  elseif verdict == "allowed" then
    return nil, nil, about
  end
end

--- The same for a script that was loaded, before it starts anything. *waits*
---@param program konductor.Program
---@param choice konductor.StoreChoice
---@param world konductor.World
---@param request fun(given: table): table?, string?, string?  of the store
---@return konductor.Failure?
---@return boolean? events  as of check()
function M.refuse(program, choice, world, request)
  if choice.kind ~= "kube" and choice.kind ~= "kube-lease" then
    return nil
  end
  local objects = rights.objects(program)
  local sentence, lines, events = M.check(world, request, objects, choice.kind, choice.namespace)
  if sentence then
    local refusal = failure.new("denied", sentence)
    refusal.lines = lines
    return refusal
  end
  return nil, events
end

return M
