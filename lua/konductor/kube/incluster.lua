--- The service account of the pod that konductor runs in. Reads files only through what it is given.
---
--- The token stays a file: the kubelet renews it, and the store reads it again.

local M = {}

M.DIR = "/var/run/secrets/kubernetes.io/serviceaccount"

local ADVICE = "; give the pod a service account whose token is mounted (automountServiceAccountToken: true in the "
  .. "pod's spec), or name a kubeconfig by KUBECONFIG, or a store by --store"

--- Whether this process is in a pod.
---@param env table<string, string>
---@return boolean
function M.is_pod(env)
  return (env.KUBERNETES_SERVICE_HOST or "") ~= ""
end

local function server(env)
  local host, port = env.KUBERNETES_SERVICE_HOST, env.KUBERNETES_SERVICE_PORT or ""
  if not host:find("^[%w.:%%-]+$") then
    return nil, "config", "KUBERNETES_SERVICE_HOST is neither a host name nor an address"
  elseif not port:find("^%d+$") then
    return nil, "config", "KUBERNETES_SERVICE_HOST is set, but KUBERNETES_SERVICE_PORT is no port number; "
      .. "Kubernetes sets both in every pod"
  end
  return ("https://%s:%s"):format(host:find(":", 1, true) and "[" .. host .. "]" or host, port)
end

local function read(system, name)
  local path = M.DIR .. "/" .. name
  local text, code, detail = system.read_file(path)
  if text and text:find("%S") then
    return text
  end
  return nil, code == "denied" and code or "config",
    ("inside a pod, but without its service account: %s%s"):format(detail or path .. " is empty", ADVICE)
end

---@param env table<string, string>
---@param system konductor.System
---@return konductor.KubeConnection? connection
---@return string? word
---@return string? sentence
function M.load(env, system)
  local url, word, sentence = server(env)
  if not url then
    return nil, word, sentence
  end
  local ok
  ok, word, sentence = read(system, "token")
  if not ok then
    return nil, word, sentence
  end
  local ca
  ca, word, sentence = read(system, "ca.crt")
  if not ca then
    return nil, word, sentence
  end
  local namespace = system.read_file(M.DIR .. "/namespace")
  namespace = namespace and namespace:match("^%s*(%S+)%s*$")
  return {
    server = url, ca = ca, token_file = M.DIR .. "/token", namespace = namespace,
    from = "the pod's service account", warnings = {},
  }
end

return M
