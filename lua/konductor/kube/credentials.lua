--- Where the API server and our identity come from: a kubeconfig or the pod's service account. Reads files only through
--- what it is given.

local fields = require "konductor.kube.fields"
local incluster = require "konductor.kube.incluster"
local kubeconfig = require "konductor.kube.kubeconfig"
local proxy = require "konductor.kube.proxy"
local quote = require("konductor.text").quote

local M = {}

---@class konductor.KubeConnection
---@field server string           https://HOST:PORT, maybe with a path, without "/" at its end
---@field ca? string              PEM
---@field cert? string            PEM
---@field key? string             PEM
---@field cert_file? string       where they came from, if from files
---@field key_file? string
---@field token? string
---@field token_file? string      is read again by the store
---@field username? string
---@field password? string
---@field insecure? boolean
---@field tls_server_name? string
---@field proxy? string           URL
---@field exec? konductor.ExecPlugin
---@field namespace? string
---@field from string             for people
---@field warnings string[]       for the log

local IMPERSONATION = { "as", "as-uid", "as-groups", "as-user-extra" }

-- A server's URL without "/" at its end.
local function check_server(read, url)
  if not url then
    return read:fail "it has no server"
  end
  local scheme, host = proxy.split(url)
  if scheme ~= "https" and scheme ~= "http" or not host then
    return read:fail("server must be a URL as https://HOST:PORT, not " .. quote(url:gsub("//[^/]*@", "//...@")))
  elseif url:find("^%a+://[^/]*@") then
    return read:fail "server must not have a user or a password in it; they belong to the user's entry"
  elseif url:find("[?#]") then
    return read:fail 'server must not have a "?" or "#" in it'
  end
  return (url:gsub("/+$", ""))
end

local function take_cluster(read, cluster, connection)
  connection.server = check_server(read, read:text(cluster, "server"))
  connection.insecure = read:boolean(cluster, "insecure-skip-tls-verify")
  connection.tls_server_name = read:text(cluster, "tls-server-name")
  connection.ca = read:pem(cluster, "certificate-authority", "certificate")
  if connection.insecure and connection.ca then
    read:fail "both insecure-skip-tls-verify and a certificate-authority are given; keep one of them"
  end
  local url = read:text(cluster, "proxy-url")
  if url then
    local checked, fault = proxy.check(url)
    if not checked then
      return read:fail("proxy-url: " .. fault)
    end
    connection.proxy = checked
  end
end

local function refuse_unsupported(read, user)
  local provider = read:mapping(user, "auth-provider")
  if provider then
    read:fail(("the auth-provider %s is not supported; kubectl has none any more either: use an exec plugin")
      :format(quote(tostring(provider.name))))
  end
  for _, name in ipairs(IMPERSONATION) do
    local value = user[name]
    if value ~= nil and value ~= "" and not (type(value) == "table" and next(value) == nil) then
      read:fail(("impersonation (%s) is not supported; name a user that has the rights itself"):format(name))
    end
  end
end

local function take_certificate(read, user, connection)
  connection.cert, connection.cert_file = read:pem(user, "client-certificate", "certificate")
  connection.key, connection.key_file = read:pem(user, "client-key", "key")
  if not read.fault and (connection.cert == nil) ~= (connection.key == nil) then
    read:fail(("%s is there without %s"):format(connection.cert and "client-certificate" or "client-key",
      connection.cert and "client-key" or "client-certificate"))
  end
end

local function take_words(read, user, connection)
  connection.token = read:text(user, "token")
  local text, path = read:file(user, "tokenFile")
  if path and text and not text:find("%S") then
    read:fail(("tokenFile: %s is empty"):format(path))
  end
  if path then
    connection.token, connection.token_file = nil, path -- as kubectl: what is read again counts
  end
  connection.username, connection.password = read:text(user, "username"), read:text(user, "password")
  if connection.username and (connection.token or path) then
    read:fail "both a token and a username are given; keep one of them"
  elseif connection.password and not connection.username then
    read:fail "password is there without username"
  end
end

local function take_user(read, user, connection)
  refuse_unsupported(read, user)
  take_certificate(read, user, connection)
  take_words(read, user, connection)
  local exec = read:mapping(user, "exec")
  if exec then
    connection.exec = require("konductor.kube.exec_plugin").check(read, exec)
  end
end

local function from_choice(choice, system)
  local connection = { namespace = choice.namespace, warnings = {},
    from = ("context %s of %s"):format(quote(choice.context), choice.file) }
  local read = fields.new(("%s: cluster %s"):format(choice.cluster.file, quote(choice.cluster_name)),
    choice.cluster.dir, system)
  take_cluster(read, choice.cluster.value, connection)
  if not read.fault and choice.user then
    read = fields.new(("%s: user %s"):format(choice.user.file, quote(choice.user_name)), choice.user.dir, system)
    take_user(read, choice.user.value, connection)
  end
  if read.fault then
    return nil, read.word, read.fault
  end
  if connection.exec then
    connection.exec.cluster = choice.cluster.value
  end
  return connection
end

local function from_kubeconfig(asked, env, system)
  local paths, from = kubeconfig.paths(asked, env)
  if not paths then
    return nil, "config", "there is no kubeconfig: neither --kubeconfig nor KUBECONFIG nor HOME says where one is"
  end
  local merged, word, sentence = kubeconfig.load(paths, from, system)
  local choice
  if merged then
    choice, word, sentence = kubeconfig.pick(merged, asked.context, system)
  end
  if not choice then
    return nil, word, sentence
  end
  return from_choice(choice, system)
end

local function add_proxy(connection, env)
  if connection.proxy then
    return true
  end
  local url, sentence = proxy.choose(connection.server, env)
  if url == nil then
    return nil, "config", sentence
  end
  connection.proxy = url or nil
  return true
end

local function add_warnings(connection)
  local function warn(sentence)
    table.insert(connection.warnings, sentence)
  end
  if connection.insecure then
    warn(("%s: insecure-skip-tls-verify: whoever answers is believed to be %s, and is given the credentials")
      :format(connection.from, connection.server))
  elseif connection.server:find("^http:") then
    warn(("%s speaks plain HTTP: whoever is on the way can read and change everything"):format(connection.server))
  end
  if connection.exec and (connection.token or connection.token_file or connection.username) then
    connection.exec = nil
    warn(("%s: the exec plugin is not asked, because there is a token or a password"):format(connection.from))
  end
end

--- Whether the service account of the pod is meant, rather than a kubeconfig: nobody has named a kubeconfig.
local function is_for_pod(asked, env)
  return incluster.is_pod(env) and not asked.kubeconfig and not asked.context and (env.KUBECONFIG or "") == ""
end

--- The API server that is meant, and who we are there.
---@param asked { kubeconfig?: string, context?: string }  of the command line
---@param env table<string, string>
---@param system konductor.System
---@return konductor.KubeConnection? connection
---@return string? word
---@return string? sentence
function M.find(asked, env, system)
  local connection, word, sentence
  if is_for_pod(asked, env) then
    connection, word, sentence = incluster.load(env, system)
  else
    connection, word, sentence = from_kubeconfig(asked, env, system)
  end
  local ok
  if connection then
    ok, word, sentence = add_proxy(connection, env)
  end
  if not ok then
    return nil, word, sentence
  end
  add_warnings(connection)
  return connection
end

return M
