-- The service account of a pod.
local credentials = require "konductor.kube.credentials"

local DIR = "/var/run/secrets/kubernetes.io/serviceaccount/"
local PEM = "-----BEGIN CERTIFICATE-----\n"

local function find(env, change)
  local files = { [DIR .. "token"] = "t\n", [DIR .. "ca.crt"] = PEM, [DIR .. "namespace"] = "shop\n" }
  for name, text in pairs(change or {}) do
    files[DIR .. name] = text
  end
  local system = {}
  function system.read_file(path)
    local text = files[path]
    if text then
      return text
    end
    return nil, text == false and "denied" or "absent", "cannot read " .. path
  end
  env.KUBERNETES_SERVICE_HOST = env.KUBERNETES_SERVICE_HOST or "10.96.0.1"
  env.KUBERNETES_SERVICE_PORT = env.KUBERNETES_SERVICE_PORT or "443"
  return credentials.find({}, env, system)
end

describe("in a pod", function()
  it("the service account says everything, and its token stays a file", function()
    assert.same({
      server = "https://10.96.0.1:443", ca = PEM, token_file = DIR .. "token", namespace = "shop",
      from = "the pod's service account", warnings = {},
    }, (find {}))
  end)

  it("an address of IPv6 gets brackets, a host name none", function()
    assert.equal("https://[fd00:10:96::1]:443", find({ KUBERNETES_SERVICE_HOST = "fd00:10:96::1" }).server)
    assert.equal("https://kubernetes.default.svc:6443",
      find({ KUBERNETES_SERVICE_HOST = "kubernetes.default.svc", KUBERNETES_SERVICE_PORT = "6443" }).server)
  end)

  it("the proxy of the environment counts, unless NO_PROXY names the service network", function()
    assert.equal("http://p:1", find({ HTTPS_PROXY = "p:1" }).proxy)
    assert.is_nil(find({ HTTPS_PROXY = "p:1", NO_PROXY = "10.96.0.0/12" }).proxy)
  end)

  it("without a file of the namespace there is none", function()
    assert.is_nil(find({}, { namespace = "" }).namespace)
  end)

  it("a missing, empty or unreadable token or certificate is an error that says what to do", function()
    for _, name in ipairs { "token", "ca.crt" } do
      for text, word in pairs { [" \n"] = "config", [false] = "denied" } do
        local connection, code, sentence = find({}, { [name] = text })
        assert.is_nil(connection)
        assert.equal(word, code)
        assert.truthy(sentence:find(DIR .. name, 1, true), sentence)
        assert.truthy(sentence:find("automountServiceAccountToken: true", 1, true))
      end
    end
  end)

  it("what is no host or no port is refused", function()
    for name, value in pairs { KUBERNETES_SERVICE_HOST = "a/b", KUBERNETES_SERVICE_PORT = "https" } do
      local connection, code, sentence = find { [name] = value }
      assert.is_nil(connection)
      assert.equal("config", code)
      assert.truthy(sentence:find(name, 1, true))
    end
  end)

  it("a kubeconfig that somebody has named counts first", function()
    local _, _, sentence = find { KUBECONFIG = "/k" }
    assert.truthy(sentence:find("KUBECONFIG: cannot read /k", 1, true))
  end)
end)
