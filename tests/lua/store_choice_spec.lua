local store = require "konductor.store"

-- files: path -> text, or a word of errors.def for one that cannot be read. YAML itself is read by the core, whose
-- tests are in core/kubeconfig_spec.lua; here a file "holds" the table that it is given as.
local function choose(asked, env, files)
  local system = {}
  function system.read_file(path)
    local text = (files or {})[path]
    if type(text) == "table" then
      return path
    elseif text == "denied" then
      return nil, text, "cannot read " .. path
    end
    return text, not text and "absent" or nil, not text and "cannot read " .. path or nil
  end
  function system.decode_yaml(text)
    return files[text]
  end
  return store.choose(asked or {}, env or {}, system)
end

local function kubeconfig(namespace)
  return {
    clusters = { { name = "c", cluster = { server = "https://k.example:6443/" } } },
    users = { { name = "u", user = { token = "secret" } } },
    contexts = { { name = "x", context = { cluster = "c", user = "u", namespace = namespace } } },
    ["current-context"] = "x",
  }
end

local POD = "/var/run/secrets/kubernetes.io/serviceaccount/"
local function service_account(namespace)
  return {
    [POD .. "token"] = "secret", [POD .. "ca.crt"] = "-----BEGIN CERTIFICATE-----", [POD .. "namespace"] = namespace,
  }
end
local IN_POD = { HOME = "/root", KUBERNETES_SERVICE_HOST = "10.0.0.1", KUBERNETES_SERVICE_PORT = "443" }

local function sentence(...)
  local choice, code, detail = choose(...)
  assert.is_nil(choice)
  assert.equal("config", code)
  return detail
end

describe("what was asked for", function()
  it("is taken as it is", function()
    assert.same(
      { kind = "sqlite", path = "/var/lib/k/state.db", place = "/var/lib/k/state.db", namespace = "default" },
      choose({ store = "sqlite:/var/lib/k/state.db" }))
    assert.equal("x.db", choose({}, { KONDUCTOR_STORE = "sqlite:x.db" }).path)
  end)

  it("goes by the option before the environment", function()
    assert.equal("a", choose({ store = "sqlite:a" }, { KONDUCTOR_STORE = "sqlite:b" }).path)
    assert.equal("n1", choose({ store = "sqlite:a", namespace = "n1" }, { KONDUCTOR_NAMESPACE = "n2" }).namespace)
    assert.equal("n2", choose({ store = "sqlite:a" }, { KONDUCTOR_NAMESPACE = "n2" }).namespace)
    assert.equal("default", choose({ store = "sqlite:a" }, { KONDUCTOR_NAMESPACE = "" }).namespace)
  end)

  it("takes the file of this user for sqlite alone, without a note", function()
    local choice = choose({ store = "sqlite" }, { HOME = "/home/me" })
    assert.equal("/home/me/.local/state/konductor/state.db", choice.path)
    assert.is_nil(choice.note)
  end)

  it("is refused with a sentence while it is not built", function()
    for _, name in ipairs { "postgres://db/shop", "postgresql://db", "etcd://e:2379" } do
      assert.truthy(sentence({ store = name }):find("is not built into this konductor yet", 1, true))
    end
  end)

  it("is refused with the nearest right word when it is no store", function()
    for given, words in pairs {
      ["sqlit:/x"] = 'did you mean "sqlite:PATH"?',
      ["sqlite:"] = "names no file",
      ["/var/lib/state.db"] = 'did you mean "sqlite:/var/lib/state.db"?',
      ["redis://x"] = "stores are sqlite:PATH, kube",
    } do
      assert.truthy(sentence({}, { KONDUCTOR_STORE = given }):find(words, 1, true))
      local choice, code, detail = choose { store = given }
      assert.is_nil(choice)
      assert.equal("usage", code)
      assert.truthy(detail:find(words, 1, true))
    end
  end)

  it("has a namespace that Kubernetes would take", function()
    local choice, code, detail = choose { store = "sqlite:a", namespace = "Prod" }
    assert.is_nil(choice)
    assert.equal("usage", code)
    assert.truthy(detail:find('namespace: bad name "Prod"', 1, true))
  end)
end)

describe("when nothing was asked for", function()
  it("a machine of one's own gets a file, and one line about its limits", function()
    local choice = choose({}, { HOME = "/home/me" })
    assert.equal("/home/me/.local/state/konductor/state.db", choice.path)
    assert.truthy(choice.note:find("only processes on this machine are coordinated", 1, true))
  end)

  it("XDG_STATE_HOME counts, when it is absolute", function()
    assert.equal("/state/konductor/state.db", choose({}, { HOME = "/h", XDG_STATE_HOME = "/state" }).path)
    assert.equal("/h/.local/state/konductor/state.db", choose({}, { HOME = "/h", XDG_STATE_HOME = "state" }).path)
  end)

  it("without any home it is an error", function()
    assert.truthy(sentence():find("neither XDG_STATE_HOME nor HOME is set", 1, true))
  end)

  it("a pod never falls back to a file", function()
    assert.truthy(sentence({}, IN_POD)
      :find("inside a pod, but without its service account: cannot read " .. POD, 1, true))
    local files = service_account("shop")
    files[POD .. "token"] = "denied"
    local choice, code = choose({}, IN_POD, files)
    assert.is_nil(choice)
    assert.equal("denied", code)
  end)

  it("a pod gets custom resources as its service account, and a line that says so", function()
    local choice = choose({}, IN_POD, service_account("shop"))
    assert.equal("kube", choice.kind)
    assert.equal("shop", choice.namespace)
    assert.equal("store kube:shop at https://10.0.0.1:443 (the pod's service account)", choice.note)
    assert.equal(POD .. "token", choice.connection.token_file)
  end)

  it("a kubeconfig means custom resources, and a line that says which one", function()
    local choice = choose({}, { HOME = "/root", KUBECONFIG = "/k" }, { ["/k"] = kubeconfig() })
    assert.equal("kube", choice.kind)
    assert.equal('store kube:default at https://k.example:6443 (context "x" of /k)', choice.note)
    choice = choose({}, { HOME = "/root" }, { ["/root/.kube/config"] = kubeconfig("shop") })
    assert.equal("kube:shop at https://k.example:6443", choice.place)
  end)

  it("a kubeconfig that cannot be read is an error, not a reason for a local file", function()
    local choice, code = choose({}, { HOME = "/root" }, { ["/root/.kube/config"] = "denied" })
    assert.is_nil(choice)
    assert.equal("denied", code)
    assert.truthy(sentence({}, { HOME = "/root", KUBECONFIG = "/gone" }):find("KUBECONFIG: cannot read /gone", 1, true))
  end)
end)

describe("Kubernetes", function()
  local env, files = { HOME = "/root" }, { ["/root/.kube/config"] = kubeconfig("shop") }

  it("is chosen by its two names, without a note", function()
    for _, name in ipairs { "kube", "kube-lease" } do
      local choice = choose({ store = name }, env, files)
      assert.equal(name, choice.kind)
      assert.equal(name .. ":shop at https://k.example:6443", choice.place)
      assert.is_nil(choice.note)
    end
  end)

  it("takes nothing behind its name", function()
    local choice, code, detail = choose({ store = "kube:shop" }, env, files)
    assert.is_nil(choice)
    assert.equal("usage", code)
    assert.truthy(detail:find("given by -n", 1, true))
  end)

  it("goes by option, environment, context, and then default for the namespace", function()
    local both = { HOME = "/root", KONDUCTOR_NAMESPACE = "n2" }
    assert.equal("n1", choose({ store = "kube", namespace = "n1" }, both, files).namespace)
    assert.equal("n2", choose({ store = "kube" }, both, files).namespace)
    assert.equal("shop", choose({ store = "kube" }, env, files).namespace)
    assert.equal("default", choose({}, env, { ["/root/.kube/config"] = kubeconfig() }).namespace)
  end)

  it("has namespaces without dots, of at most 63 characters", function()
    for _, name in ipairs { "a.b", ("a"):rep(64) } do
      local choice, code, detail = choose({ namespace = name }, env, files)
      assert.is_nil(choice)
      assert.equal("usage", code)
      assert.truthy(detail:find("a namespace of Kubernetes has at most 63 characters", 1, true))
    end
    assert.truthy(sentence({}, env, { ["/root/.kube/config"] = kubeconfig("a.b") })
      :find('context "x" of /root/.kube/config: namespace: bad name "a.b"', 1, true))
  end)

  it("is meant by --kubeconfig and --context", function()
    assert.equal("kube", choose({ kubeconfig = "/k" }, {}, { ["/k"] = kubeconfig() }).kind)
    assert.equal("kube", choose({ context = "x" }, env, files).kind)
    for _, option in ipairs { "kubeconfig", "context" } do
      local choice, code, detail = choose({ store = "sqlite:/s", [option] = "x" }, env, files)
      assert.is_nil(choice)
      assert.equal("usage", code)
      assert.truthy(detail:find("--" .. option .. " is for Kubernetes, but the store is /s", 1, true))
    end
  end)

  it("takes a kubeconfig that is named before the service account of the pod", function()
    local all = service_account("pod")
    all["/k"] = kubeconfig("named")
    assert.equal("named", choose({ kubeconfig = "/k" }, IN_POD, all).namespace)
    local named = { KUBECONFIG = "/k", KUBERNETES_SERVICE_HOST = "10.0.0.1", KUBERNETES_SERVICE_PORT = "443" }
    assert.equal("named", choose({}, named, all).namespace)
  end)
end)
