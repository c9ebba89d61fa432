--- `konductor rbac SCRIPT`: the least rights that a script needs on a Kubernetes store.

local args = require "konductor.cli.args"
local core = require "konductor.core"
local names = require "konductor.names"
local rights = require "konductor.kube.rights"
local say = require "konductor.cli.say"
local setup = require "konductor.cli.setup"
local source = require "konductor.cli.source"
local text = require "konductor.text"
local yaml = require "konductor.kube.yaml"

local M = {}

local function complain(sentence, word)
  core.write(2, ("konductor rbac: %s\n"):format(sentence))
  return core.exit_code(word or "usage")
end

-- Every name that will stand in a manifest. A sentence when one is wrong.
local function check_names(options)
  for _, option in ipairs { "namespace", "name", "service-account" } do
    local value = options[option:gsub("-", "_")]
    local ok, _, sentence = names.check(value or "x")
    if not ok then
      return ("--%s: %s"):format(option, sentence)
    end
  end
end

-- Stands for a command that is not given: rights do not depend on it. No object can have this name.
local ANY_COMMAND = { "COMMAND" }

local OWN = { once = "Once", lease = "Lease" }

-- The objects of --also.
local function more_objects(list)
  local objects = {}
  for _, given in ipairs(list) do
    local kind, name = given:match "^([%a][%w]*)/(.*)$"
    local ok, _, sentence = names.check(name)
    if not kind then
      return nil, ("--also %s: KIND/NAME is expected, for example lease/db"):format(text.quote(given))
    elseif not ok then
      return nil, ("--also %s: %s"):format(text.quote(given), sentence)
    end
    kind = OWN[kind:lower()] or kind
    if not kind:find "^%u" then
      return nil, ("--also %s: the kind is lease, once, or that of a k.policy such as Semaphore"):format(
        text.quote(given))
    end
    objects[#objects + 1] = { kind = kind, name = name }
  end
  return objects
end

-- The environment, and a list of the variables that the script asks for.
local function watched(environ)
  local asked = {}
  return setmetatable({}, {
    __index = function(_, name)
      if name ~= "LUA_PATH" then
        asked[name] = true
      end
      return environ[name]
    end,
  }), asked
end

local function load(options, found)
  local made, sentence = setup.new(options)
  if not made then
    return nil, complain(sentence)
  end
  local context = made.context
  local asked
  context.environ, asked = watched(context.environ)
  local program, code = source.look(context, found)
  if not program then
    return nil, code
  end
  return { program = program, asked = asked, made = made }
end

local function add_all(list, more)
  for _, each in ipairs(more) do
    list[#list + 1] = each
  end
end

local function head(options, store, asked, notes)
  local lines = { ("# What %s needs with --store %s, and nothing more."):format(text.clip(options.script, 253), store) }
  local variables = {}
  for name in text.spairs(asked) do
    variables[#variables + 1] = text.clip(name, 253)
  end
  if variables[1] then
    lines[#lines + 1] = ("# It reads %s from the environment: names that depend on that are those of this command.")
      :format(table.concat(variables, ", "))
  end
  for _, note in ipairs(notes) do
    lines[#lines + 1] = "# " .. text.clip(note, #note) .. "."
  end
  if notes[1] then
    lines[#lines + 1] = "# An object that is missing is added with --also KIND/NAME."
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The store that is meant, and the namespace that `konductor run` would use here. A kubeconfig need not be there, as
-- nothing is asked of a server, unless one is named.
local function target(options)
  local environ = core.environ()
  local kind = options.store or environ.KONDUCTOR_STORE == "kube-lease" and "kube-lease" or "kube"
  options.store = kind
  return kind, function(made)
    local choice, word, sentence = made.choose()
    if not choice and (options.kubeconfig or options.context) then
      return nil, complain(sentence, word)
    end
    return choice and choice.namespace or options.namespace or environ.KONDUCTOR_NAMESPACE or "default"
  end
end

---@param given string[]
---@param command? string[]
---@return integer exit_code
function M.run(given, command)
  local options, code = args.parse("rbac", given)
  if not options then
    return code
  end
  options.command, options.log_level = command or ANY_COMMAND, "warn"
  local also, sentence = more_objects(options.also or {})
  sentence = sentence or check_names(options)
  if not also or sentence then
    return complain(sentence)
  end
  local found
  found, sentence = source.read(options.script)
  if not found then
    return complain(sentence)
  end
  local store, namespace_of = target(options)
  local loaded
  loaded, code = load(options, found)
  if not loaded then
    return code
  end
  local objects, notes = rights.objects(loaded.program)
  add_all(objects, also)
  if not objects[1] then
    return complain(notes[1] and notes[1] .. "; name its objects with --also KIND/NAME"
      or "the script uses no store, so it needs no rights")
  end
  local rules, unnamed = rights.rules(objects, {
    store = store, create = not options.no_create, events = options.events,
  })
  add_all(notes, unnamed)
  local namespace
  namespace, code = namespace_of(loaded.made)
  if not namespace then
    return code
  end
  local list = { rights.role(rules, options.name, namespace) }
  if options.service_account then
    list[2] = rights.binding(options.name, namespace, options.service_account)
  end
  if options.output == "json" then
    return say("konductor rbac", core.json.encode { apiVersion = "v1", kind = "List", items = list } .. "\n")
  end
  return say("konductor rbac", head(options, store, loaded.asked, notes) .. yaml.stream(list))
end

return M
