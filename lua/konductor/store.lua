--- Which store is meant, and opening it.
---
--- choose() is pure: the option, the environment and a function that reads files in, one
--- choice or one refusal out. A pod never falls back to a local file, because replicas that
--- do not see each other would all do the work.
---
--- What Kubernetes needs is loaded only when it is chosen.

local M = {}

---@class konductor.StoreChoice
---@field kind "sqlite"|"kube"|"kube-lease"
---@field path? string       sqlite
---@field connection? konductor.KubeConnection
---@field namespace string
---@field place string       the store, for sentences
---@field note? string       one sentence for the log

---@class konductor.StoreAsked  of the command line
---@field store? string
---@field namespace? string
---@field kubeconfig? string
---@field context? string

local NOT_BUILT = { postgres = "PostgreSQL", postgresql = "PostgreSQL", etcd = "etcd" }
local KUBE = { kube = true, ["kube-lease"] = true }
local KNOWN = { "sqlite", "kube", "kube-lease", "postgres", "etcd" }
local MAX_NAMESPACE = 63 -- of Kubernetes: a DNS label

local function config(sentence, ...)
  return nil, "config", sentence:format(...)
end

-- On the command line it is a slip of the pen of whoever typed it, elsewhere the configuration is wrong.
local function malformed(is_typed, sentence, ...)
  return nil, is_typed and "usage" or "config", sentence:format(...)
end

local function default_path(env)
  local state = env.XDG_STATE_HOME
  if state and state:sub(1, 1) == "/" then
    return state .. "/konductor/state.db"
  elseif env.HOME and env.HOME ~= "" then
    return env.HOME .. "/.local/state/konductor/state.db"
  end
  return config("neither XDG_STATE_HOME nor HOME is set, so there is no place for a store; "
    .. 'give one, for example --store sqlite:/var/lib/konductor/state.db')
end

local function sqlite(path, code, detail)
  if not path then
    return nil, code, detail
  end
  return { kind = "sqlite", path = path, place = path }
end

local function sqlite_from_text(rest, env, is_typed)
  if rest == "" then
    return malformed(is_typed,
      'the store "sqlite:" names no file; write sqlite:PATH, or sqlite alone for the file of this user')
  elseif rest then
    return sqlite(rest)
  end
  return sqlite(default_path(env))
end

local function kube_from_text(scheme, rest, is_typed)
  if rest then
    return malformed(is_typed, 'the store "%s" is written without anything behind it; the namespace is given by '
      .. "-n, the cluster by --kubeconfig and --context", scheme)
  end
  return { kind = scheme }
end

local function from_text(text, env, is_typed)
  local scheme, rest = text:match("^([%w-]+):(.*)$")
  scheme = scheme or text
  if scheme == "sqlite" then
    return sqlite_from_text(rest, env, is_typed)
  elseif KUBE[scheme] then
    return kube_from_text(scheme, rest, is_typed)
  elseif NOT_BUILT[scheme] then
    return config('the store "%s" (%s) is not built into this konductor yet; there are sqlite:PATH, kube and '
      .. "kube-lease", scheme, NOT_BUILT[scheme])
  elseif not rest and (text:find("/", 1, true) or text:find("%.db$")) then
    return malformed(is_typed, 'the store "%s" names no kind; did you mean "sqlite:%s"?', text, text)
  end
  local nearest = require("konductor.text").nearest(scheme, KNOWN)
  return malformed(is_typed, 'there is no store "%s"; %s', text,
    nearest and ('did you mean "%s"?'):format(nearest == "sqlite" and "sqlite:PATH" or nearest)
    or "stores are sqlite:PATH, kube and kube-lease")
end

-- A file that is there but cannot be read counts: falling back to a local one would hide it.
local function is_there(path, system)
  local text, code = system.read_file(path)
  return text ~= nil or code ~= "absent"
end

local function guess(asked, env, system)
  if asked.kubeconfig or asked.context or (env.KUBERNETES_SERVICE_HOST or "") ~= "" or (env.KUBECONFIG or "") ~= ""
    or ((env.HOME or "") ~= "" and is_there(env.HOME .. "/.kube/config", system)) then
    return { kind = "kube", is_guess = true }
  end
  local choice, code, detail = sqlite(default_path(env))
  if choice then
    choice.note = ("store %s: only processes on this machine are coordinated"):format(choice.path)
  end
  return choice, code, detail
end

-- Options that mean nothing to the store that was chosen.
local function check_options(choice, asked)
  local option = asked.kubeconfig and "--kubeconfig" or asked.context and "--context"
  if option and not KUBE[choice.kind] then
    return nil, "usage", ("%s is for Kubernetes, but the store is %s; add --store kube or leave it out")
      :format(option, choice.place)
  end
  return true
end

local function connect(choice, asked, env, system)
  local connection, code, detail = require("konductor.kube.credentials").find(asked, env, system)
  if not connection then
    return nil, code, detail
  end
  choice.connection = connection
  return connection.namespace, connection.from
end

local function take_namespace(choice, asked, env, own, own_from)
  local namespace, from = asked.namespace, "namespace"
  if not namespace and (env.KONDUCTOR_NAMESPACE or "") ~= "" then
    namespace = env.KONDUCTOR_NAMESPACE
  elseif not namespace and own then
    namespace, from = own, own_from .. ": namespace"
  end
  namespace = namespace or "default"
  local ok, word, sentence = require("konductor.names").check(namespace)
  if ok and KUBE[choice.kind] and (#namespace > MAX_NAMESPACE or namespace:find(".", 1, true)) then
    ok, word = nil, "usage"
    sentence = ('bad name "%s": a namespace of Kubernetes has at most %d characters and no "."')
      :format(namespace, MAX_NAMESPACE)
  end
  if not ok then
    return nil, own_from and from ~= "namespace" and "config" or word, from .. ": " .. sentence
  end
  choice.namespace = namespace
  return true
end

-- Where it is, for sentences and for the log.
local function describe_kube(choice)
  choice.place = ("%s:%s at %s"):format(choice.kind, choice.namespace, choice.connection.server)
  if choice.is_guess then
    choice.note = ("store %s (%s)"):format(choice.place, choice.connection.from)
    choice.is_guess = nil
  end
end

--- Decides which store is meant.
---@param asked konductor.StoreAsked
---@param env table<string, string>
---@param system konductor.System
---@return konductor.StoreChoice? choice
---@return string? code
---@return string? detail
function M.choose(asked, env, system)
  local text = asked.store or env.KONDUCTOR_STORE
  local choice, code, detail, ok, own, own_from
  if text and text ~= "" then
    choice, code, detail = from_text(text, env, asked.store ~= nil)
  else
    choice, code, detail = guess(asked, env, system)
  end
  if not choice then
    return nil, code, detail
  end
  ok, code, detail = check_options(choice, asked)
  if ok and KUBE[choice.kind] then
    own, own_from, detail = connect(choice, asked, env, system)
    ok, code = choice.connection ~= nil, own_from
  end
  if ok then
    ok, code, detail = take_namespace(choice, asked, env, own, own_from)
  end
  if not ok then
    return nil, code, detail
  end
  if choice.connection then
    describe_kube(choice)
  end
  return choice
end

--- Opens what was chosen. Waits when credentials have to be asked for.
---@param choice konductor.StoreChoice
---@param session string
---@param world konductor.World   to run an exec plugin and to log
---@return userdata? store
---@return string? code
---@return string? detail
function M.open(choice, session, world)
  if KUBE[choice.kind] then
    return require("konductor.kube.open").open(choice, session, world)
  end
  local core = require "konductor.core"
  return core.sqlite { path = choice.path, namespace = choice.namespace, session = session }
end

return M
