--- Exec plugins of client.authentication.k8s.io: commands that print who we are (aws eks get-token, and their like).
---
--- A plugin runs under a guard as any command, has a limit of time, and what it prints is in no log. On a terminal its
--- standard error is ours, so that people see what it asks them; elsewhere the last line of it goes into the sentence.

local base64 = require "konductor.kube.base64"
local rfc3339 = require "konductor.kube.rfc3339"
local text = require "konductor.text"

local M = {}

--- How long a plugin may take; with a person at the terminal, who may have to look for a phone.
M.LIMIT_MS = 60000
M.INTERACTIVE_LIMIT_MS = 600000
-- A plugin that calls konductor, whose plugin calls konductor: two of them may have a reason, three have none.
local MAX_DEPTH = 2
local DEPTH = "KONDUCTOR_EXEC_DEPTH"
local MAX_LINE = 500

local VERSIONS = { ["client.authentication.k8s.io/v1"] = true, ["client.authentication.k8s.io/v1beta1"] = true }
local MODES = { Never = true, IfAvailable = true, Always = true }

---@class konductor.ExecPlugin
---@field where string           for sentences
---@field version string         apiVersion
---@field command string         with its directory if it had one
---@field args string[]
---@field env table<string, string>
---@field hint? string           how it is installed
---@field mode "Never"|"IfAvailable"|"Always"
---@field wants_cluster boolean
---@field cluster? table         the cluster's entry

---@class konductor.Identity
---@field token? string
---@field cert? string           PEM
---@field key? string            PEM
---@field expires_in_ms? number

-- ---- the entry in the kubeconfig ----

local function read_args(read, exec)
  local args = {}
  for i, arg in ipairs(read:list(exec, "args") or {}) do
    if type(arg) ~= "string" then
      return read:fail(("exec: args[%d] must be text; put it in quotes"):format(i))
    end
    args[i] = arg
  end
  return args
end

local function read_env(read, exec)
  local env = {}
  for i, entry in ipairs(read:list(exec, "env") or {}) do
    local name = type(entry) == "table" and entry.name
    if type(name) ~= "string" or name == "" or name:find("=", 1, true) then
      return read:fail(("exec: env[%d] has no name that a variable can have"):format(i))
    elseif entry.value ~= nil and type(entry.value) ~= "string" then
      return read:fail(("exec: the value of env %s must be text; put it in quotes"):format(name))
    end
    env[name] = entry.value or ""
  end
  return env
end

local function read_version(read, exec)
  local version = read:text(exec, "apiVersion")
  if version and not VERSIONS[version] then
    read:fail(("exec: apiVersion %s is not supported; there are client.authentication.k8s.io/v1 and v1beta1")
      :format(text.quote(version)))
  elseif not version then
    read:fail "exec: it has no apiVersion"
  end
  return version
end

local function read_mode(read, exec, version)
  local mode = read:text(exec, "interactiveMode")
  if mode and not MODES[mode] then
    read:fail(("exec: interactiveMode %s is none of Never, IfAvailable and Always"):format(text.quote(mode)))
  elseif not mode and version == "client.authentication.k8s.io/v1" then
    read:fail "exec: interactiveMode is missing; Never, IfAvailable or Always was expected"
  end
  return mode or "IfAvailable"
end

--- Checks the entry `exec` of a user; faults stay in the reader.
---@param read konductor.Fields
---@param exec table
---@return konductor.ExecPlugin
function M.check(read, exec)
  local command = read:text(exec, "command")
  if not command then
    read:fail "exec: it has no command"
  elseif command:find("/", 1, true) then
    command = read:path(exec, "command")
  end
  local version = read_version(read, exec)
  return {
    where = read.where, version = version, command = command, args = read_args(read, exec),
    env = read_env(read, exec), hint = type(exec.installHint) == "string" and exec.installHint or nil,
    mode = read_mode(read, exec, version), wants_cluster = read:boolean(exec, "provideClusterInfo"),
  }
end

-- ---- what it is told ----

-- What the cluster's entry has under the name that plugins look for.
local function cluster_config(cluster)
  for _, extension in ipairs(type(cluster.extensions) == "table" and cluster.extensions or {}) do
    if type(extension) == "table" and extension.name == "client.authentication.k8s.io/exec" then
      return extension.extension
    end
  end
end

local function cluster_info(plugin, connection)
  local cluster = plugin.cluster or {}
  return {
    server = connection.server, ["tls-server-name"] = connection.tls_server_name,
    ["insecure-skip-tls-verify"] = connection.insecure or nil, ["proxy-url"] = cluster["proxy-url"],
    ["certificate-authority-data"] = connection.ca and base64.encode(connection.ca), config = cluster_config(cluster),
  }
end

--- What KUBERNETES_EXEC_INFO holds, as a table.
---@param plugin konductor.ExecPlugin
---@param connection konductor.KubeConnection
---@param is_interactive boolean
---@return table
function M.request(plugin, connection, is_interactive)
  return {
    apiVersion = plugin.version, kind = "ExecCredential",
    spec = { interactive = is_interactive, cluster = plugin.wants_cluster and cluster_info(plugin, connection) or nil },
  }
end

local function environment(plugin, connection, is_interactive, core)
  local environ = core.environ()
  local depth = tonumber(environ[DEPTH]) or 0
  if depth >= MAX_DEPTH then
    return nil, "config", ("it is run by a konductor that an exec plugin has started, for the %dth time: it calls "
      .. "konductor with the kubeconfig that names it"):format(depth + 1)
  end
  local info, code, detail = core.json.encode(M.request(plugin, connection, is_interactive))
  if not info then
    return nil, code, detail
  end
  for name, value in pairs(plugin.env) do
    environ[name] = value
  end
  environ.KUBERNETES_EXEC_INFO, environ[DEPTH] = info, tostring(depth + 1)
  local list = {}
  for name, value in pairs(environ) do
    list[#list + 1] = name .. "=" .. value
  end
  return list
end

-- ---- what it answers ----

local FIELDS = { token = "token", clientCertificateData = "cert", clientKeyData = "key" }

local function check_status(status)
  local identity = {}
  for name, short in text.spairs(FIELDS) do
    local value = status[name]
    if value ~= nil and type(value) ~= "string" then
      return nil, ("status.%s is no text"):format(name)
    end
    identity[short] = value ~= "" and value or nil
  end
  local token, cert, key = identity.token, identity.cert, identity.key
  if (cert == nil) ~= (key == nil) then
    return nil, ("it gives a %s without a %s"):format(cert and "certificate" or "key", cert and "key" or "certificate")
  elseif not token and not cert then
    return nil, "it gives neither a token nor a certificate"
  elseif token and token:find("[%c ]") then
    return nil, "its token has a space or a line end in it"
  end
  return identity
end

local function check_expiry(status, wall)
  local expiry = status.expirationTimestamp
  if expiry == nil then
    return nil
  end
  local at, now = type(expiry) == "string" and rfc3339.parse(expiry), rfc3339.parse(wall)
  if not at then
    return nil, "status.expirationTimestamp is no time of RFC 3339"
  elseif at <= now then
    return nil, ("its credentials ended at %s, and it is %s by this machine's clock"):format(expiry, wall)
  end
  return at - now
end

--- What a plugin printed, checked.
---@param plugin konductor.ExecPlugin
---@param answer any      decoded
---@param wall string     the time now, of RFC 3339
---@return konductor.Identity? identity
---@return string? fault
function M.parse(plugin, answer, wall)
  if type(answer) ~= "table" or answer.kind ~= "ExecCredential" then
    return nil, "it prints no ExecCredential"
  elseif answer.apiVersion ~= plugin.version then
    return nil, ("it answers with apiVersion %s, the kubeconfig asks for %s"):format(
      text.quote(tostring(answer.apiVersion)), plugin.version)
  elseif type(answer.status) ~= "table" then
    return nil, "the ExecCredential that it prints has no status"
  end
  local identity, fault = check_status(answer.status)
  if not identity then
    return nil, fault
  end
  identity.expires_in_ms, fault = check_expiry(answer.status, wall)
  if fault then
    return nil, fault
  end
  return identity
end

-- ---- running it ----

local function spawn(plugin, connection, inbox, how, core)
  local env, code, detail = environment(plugin, connection, how.is_interactive, core)
  if not env then
    return nil, code, detail
  end
  local argv = { plugin.command }
  for _, arg in ipairs(plugin.args) do
    argv[#argv + 1] = arg
  end
  return core.spawn(inbox, {
    argv = argv, env = env, capture = true, capture_errors = not core.isatty(2),
    input = not how.is_interactive and "" or nil, foreground = how.is_interactive,
    kill_at = core.now() + how.limit_ms,
  })
end

-- Waits until nothing of it runs any more. It is ended when the wait is cancelled, or a "stop" comes.
local function wait_for_end(child, inbox)
  local exit, cancelled
  while true do
    local event = inbox:wait()
    if not event or event.type == "stop" then
      cancelled = true
      child:stop(0)
    elseif event.type == "exit" or event.type == "failed" then
      exit = event
    elseif event.type == "empty" then
      return exit, cancelled
    end
  end
end

local function last_line(errors)
  local last = ""
  for line in (errors or ""):gmatch "[^\r\n]+" do
    last = line:find("%S") and line or last
  end
  last = text.clip(last, MAX_LINE):match("^%s*(.-)%s*$")
  return last ~= "" and ": " .. last or ""
end

local function describe_failure(plugin, exit, how)
  if exit.type == "failed" then
    local word = exit.code == "lost" and "store" or "config" -- frozen before it began, or nothing to begin
    return word, exit.detail .. (plugin.hint and "; " .. text.clip(plugin.hint, 400) or "")
  elseif exit.by == "deadman" then
    return "store", ("it was killed because it gave no answer within %g s%s"):format(how.limit_ms / 1000,
      last_line(exit.errors))
  elseif exit.signal then
    return "denied", ("it was ended by signal %d%s"):format(exit.signal, last_line(exit.errors))
  elseif exit.code ~= 0 then
    return "denied", ("it ended with exit code %d%s"):format(exit.code, last_line(exit.errors))
  end
end

local function run(plugin, connection, how, core, world)
  local inbox = core.inbox()
  local child, code, detail = spawn(plugin, connection, inbox, how, core)
  if not child then
    return nil, code, detail
  end
  local stop = how.is_opening and world.stop(inbox)
  local exit, cancelled = wait_for_end(child, inbox)
  if stop then
    stop.close()
  end
  inbox:close()
  code, detail = describe_failure(plugin, exit, how)
  if cancelled then
    return nil, "cancelled", "it was ended because konductor is asked to stop"
  elseif code then
    return nil, code, detail
  end
  local answer = core.json.decode(exit.output)
  local identity, fault = M.parse(plugin, answer, world.wall())
  if not identity then
    return nil, "config", fault
  end
  return identity
end

--- Runs the plugin. Waits.
---@param plugin konductor.ExecPlugin
---@param connection konductor.KubeConnection
---@param world konductor.World
---@param how? { is_opening?: boolean, limit_ms?: integer }  is_opening: nothing runs yet, so that a person may be asked
---  on the terminal, and being asked to stop ends the plugin
---@return konductor.Identity? identity
---@return string? word
---@return string? sentence
function M.run(plugin, connection, world, how)
  local core = require "konductor.core"
  local is_interactive = plugin.mode ~= "Never" and (how and how.is_opening or false) and core.isatty(0)
  local where = ("%s: the exec plugin %s"):format(plugin.where, text.quote(plugin.command))
  if plugin.mode == "Always" and not is_interactive then
    return nil, "config", where .. " wants to ask at a terminal (interactiveMode: Always), and there is none now"
  end
  local identity, word, sentence = run(plugin, connection, {
    is_interactive = is_interactive, is_opening = how and how.is_opening,
    limit_ms = how and how.limit_ms or is_interactive and M.INTERACTIVE_LIMIT_MS or M.LIMIT_MS,
  }, core, world)
  if not identity then
    return nil, word, ("%s: %s"):format(where, sentence)
  end
  return identity
end

return M
