-- kubeconfig files, from their bytes to the connection: what kubectl does, and what it leaves people to guess.
local core = require "konductor.core"
local base64 = require "konductor.kube.base64"
local credentials = require "konductor.kube.credentials"
local spairs = require("konductor.text").spairs

local PEM = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
local KEY = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
local CERT64, KEY64 = base64.encode(PEM), base64.encode(KEY)

-- files: path -> text, or false for one that may not be read.
local function find(files, env, asked)
  local system = { decode_yaml = core.yaml.decode }
  function system.read_file(path)
    local text = files[path]
    if text then
      return text
    end
    local reason = text == false and "Permission denied" or "No such file or directory"
    return nil, text == false and "denied" or "absent", ("cannot read %s: %s"):format(path, reason)
  end
  return credentials.find(asked or {}, env or { HOME = "/h" }, system)
end

local function config(cluster, user, context)
  return ([[
apiVersion: v1
kind: Config
clusters:
- name: c
  cluster: {%s}
users:
- name: u
  user: {%s}
contexts:
- name: x
  context: {cluster: c, user: u%s}
current-context: x
]]):format(cluster or 'server: "https://k.example:6443"', user or "", context or "")
end

local function of(text, others)
  local files = { ["/h/.kube/config"] = text }
  for path, other in pairs(others or {}) do
    files[path] = other
  end
  local connection, word, sentence = find(files)
  assert.is_nil(word, sentence)
  return connection
end

local function of_user(user, others)
  return of(config(nil, user), others)
end

local function refused(files, env, asked)
  files = type(files) == "table" and files or { ["/h/.kube/config"] = files }
  local connection, word, sentence = find(files, env, asked)
  assert.is_nil(connection)
  return sentence, word
end

describe("a kubeconfig", function()
  it("gives server, namespace and where they are from", function()
    local c = of(config('server: "https://k.example:6443/"', "", ", namespace: shop"))
    assert.equal("https://k.example:6443", c.server)
    assert.equal("shop", c.namespace)
    assert.equal('context "x" of /h/.kube/config', c.from)
    assert.same({}, c.warnings)
    assert.equal("https://r.example/k8s/c-1", of(config 'server: "https://r.example/k8s/c-1/"').server)
  end)

  it("may be JSON, and have a context without a user", function()
    local c = of('{"clusters":[{"name":"c","cluster":{"server":"https://k"}}],'
      .. '"contexts":[{"name":"x","context":{"cluster":"c"}}],"current-context":"x"}')
    assert.equal("https://k", c.server)
    assert.is_nil(c.token)
  end)

  it("may have unknown fields, lists without value, and a null where nothing is meant", function()
    assert.equal("t", of(config('server: "https://k", x-mine: {a: [1]}', "token: t, password: , tokenFile: null")
      .. "preferences: {}\nextensions:\n").token)
  end)

  it("gives what identifies the server", function()
    local server = 'server: "https://k.example:6443", tls-server-name: other.example, proxy-url: "http://p:3128"'
    local c = of(config(server .. ', certificate-authority-data: "' .. CERT64 .. '"'))
    assert.equal(PEM, c.ca)
    assert.equal("other.example", c.tls_server_name)
    assert.equal("http://p:3128", c.proxy)
    c = of(config(server .. ", certificate-authority: ca.crt"), { ["/h/.kube/ca.crt"] = PEM })
    assert.equal(PEM, c.ca)
  end)

  it("warns when any server is believed, or everybody on the way can read", function()
    local c = of(config 'server: "https://k.example", insecure-skip-tls-verify: true')
    assert.is_true(c.insecure)
    assert.truthy(c.warnings[1]:find("insecure-skip-tls-verify", 1, true))
    c = of(config 'server: "http://127.0.0.1:8001"')
    assert.truthy(c.warnings[1]:find("plain HTTP", 1, true))
  end)

  it("gives each kind of credentials", function()
    assert.equal("t", of_user("token: t").token)
    local c = of_user("username: me, password: secret")
    assert.same({ "me", "secret" }, { c.username, c.password })
    c = of_user(("client-certificate-data: %s, client-key-data: %s"):format(CERT64, KEY64))
    assert.same({ PEM, KEY }, { c.cert, c.key })
    c = of_user("client-certificate: u.crt, client-key: /k/u.key", { ["/h/.kube/u.crt"] = PEM, ["/k/u.key"] = KEY })
    assert.same({ PEM, KEY, "/h/.kube/u.crt", "/k/u.key" }, { c.cert, c.key, c.cert_file, c.key_file })
    c = of_user("client-certificate: u.crt, client-key-data: " .. KEY64, { ["/h/.kube/u.crt"] = PEM })
    assert.same({ PEM, KEY }, { c.cert, c.key })
  end)

  it("keeps a token file a file, which counts before a token", function()
    local c = of_user("token: t, tokenFile: tokens/u", { ["/h/.kube/tokens/u"] = "x\n" })
    assert.equal("/h/.kube/tokens/u", c.token_file)
    assert.is_nil(c.token)
  end)

  it("has an exec plugin, whose command is relative to the file when it has a slash", function()
    local function exec(command)
      return of_user(("exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: %s, "
        .. "args: [get, token], env: [{name: A, value: b}, {name: E}]}"):format(command)).exec
    end
    assert.equal("aws", exec("aws").command)
    assert.equal("/h/.kube/./bin/aws", exec("./bin/aws").command)
    assert.equal("/bin/aws", exec("/bin/aws").command)
    assert.same({ "get", "token" }, exec("aws").args)
    assert.same({ A = "b", E = "" }, exec("aws").env)
    assert.equal("Never", exec("aws").mode)
  end)

  it("does not ask the exec plugin when there is a token, and says so", function()
    local c = of_user "token: t, exec: {apiVersion: client.authentication.k8s.io/v1beta1, command: aws}"
    assert.is_nil(c.exec)
    assert.equal("t", c.token)
    assert.truthy(c.warnings[1]:find("the exec plugin is not asked", 1, true))
  end)

  it("is reached through the proxy of the environment, unless it names one", function()
    local files = { ["/h/.kube/config"] = config() }
    assert.equal("http://p:1", find(files, { HOME = "/h", HTTPS_PROXY = "http://p:1" }).proxy)
    assert.is_nil(find(files, { HOME = "/h", HTTPS_PROXY = "http://p:1", NO_PROXY = ".example" }).proxy)
    files = { ["/h/.kube/config"] = config 'server: "https://k.example", proxy-url: "socks5://s:1"' }
    assert.equal("socks5://s:1", find(files, { HOME = "/h", HTTPS_PROXY = "http://p:1", NO_PROXY = "*" }).proxy)
  end)
end)

describe("which file", function()
  local function named(server)
    return (config(('server: "https://%s"'):format(server)))
  end

  it("goes by --kubeconfig, KUBECONFIG, and the one of this user", function()
    local files = { ["/a"] = named "a", ["/b"] = named "b", ["/h/.kube/config"] = named "h" }
    local env = { HOME = "/h", KUBECONFIG = "/b" }
    assert.equal("https://a", find(files, env, { kubeconfig = "/a" }).server)
    assert.equal("https://b", find(files, env).server)
    assert.equal("https://h", find(files, { HOME = "/h", KUBECONFIG = "" }).server)
  end)

  it("of several: the first that has an entry, and the first that has a current-context", function()
    local files = {
      ["/a"] = 'users: [{name: u, user: {token: a}}]\ncurrent-context: x\n',
      ["/b"] = (config('server: "https://b"', "token: b, username: mixed"):gsub("context: x", "context: z")),
      ["/c"] = config('server: "https://c"', "token: c"),
    }
    local c = find(files, { KUBECONFIG = "/a:/b:/c" })
    assert.same({ "https://b", "a" }, { c.server, c.token })
    assert.is_nil(c.username)
    assert.equal('context "x" of /b', c.from)
    c = find(files, { KUBECONFIG = "/c:/a:/b" })
    assert.same({ "https://c", "c" }, { c.server, c.token })
  end)

  it("of several, those that are not there do not matter, unless none is", function()
    assert.equal("https://b", find({ ["/b"] = named "b" }, { KUBECONFIG = "/a::/b:/a:" }).server)
    assert.equal("KUBECONFIG: none of its files is there: /a, /b", refused({}, { KUBECONFIG = "/a:/b" }))
    assert.truthy(refused({}, { KUBECONFIG = "/a" }):find("KUBECONFIG: cannot read /a: No such file", 1, true))
    assert.truthy(refused({}, {}, { kubeconfig = "/a" }):find("--kubeconfig: cannot read /a: No such file", 1, true))
    assert.equal("there is no ~/.kube/config, and neither --kubeconfig nor KUBECONFIG names another kubeconfig",
      refused {})
    assert.truthy(refused({}, { KUBECONFIG = ":" }):find("KUBECONFIG: ", 1, true))
    assert.truthy(refused({}, {}):find("neither --kubeconfig nor KUBECONFIG nor HOME", 1, true))
  end)

  it("of several, one that may not be read, or is wrong, is an error", function()
    local sentence, word = refused({ ["/a"] = named "a", ["/b"] = false }, { KUBECONFIG = "/a:/b" })
    assert.equal("denied", word)
    assert.equal("KUBECONFIG: cannot read /b: Permission denied", sentence)
    assert.truthy(refused({ ["/a"] = named "a", ["/b"] = "a: [" }, { KUBECONFIG = "/a:/b" }):find("/b:", 1, true))
  end)

  it("paths are relative to the file that their entry stands in", function()
    local files = {
      ["/a/config"] = "users: [{name: u, user: {tokenFile: token}}]\n", ["/a/token"] = "a",
      ["b/config"] = config('server: "https://b", certificate-authority: ../ca'), ["b/../ca"] = PEM,
    }
    local c = find(files, { KUBECONFIG = "/a/config:b/config" })
    assert.equal("/a/token", c.token_file)
    assert.equal(PEM, c.ca)
    files = { config = config(nil, "tokenFile: token"), token = "t" }
    assert.equal("token", find(files, { KUBECONFIG = "config" }).token_file)
  end)

  it("the context is that of --context", function()
    local two = config():gsub("current%-context", "- {name: v, context: {cluster: c, namespace: nv}}\ncurrent-context")
    assert.equal("nv", find({ ["/h/.kube/config"] = two }, nil, { context = "v" }).namespace)
    assert.equal('--context names the context "w", which /h/.kube/config does not have; did you mean "v"?',
      refused(two, nil, { context = "w" }))
  end)
end)

-- What is wrong: file, entry, field, and what to do.
local WHOLE = {
  ["a list"] = { "- a\n", "/h/.kube/config: this is no kubeconfig: a mapping" },
  ["text"] = { "hello\n", "this is no kubeconfig: a mapping" },
  ["another object"] = { "kind: Pod\napiVersion: v1\n", 'its kind is "Pod", not Config' },
  ["another version"] = { "kind: Config\napiVersion: v2\n", 'apiVersion v1 was expected, not "v2"' },
  ["an empty file"] = { "", "/h/.kube/config: there is no current-context; choose one by --context" },
  ["nothing but a comment"] = { "# mine\n", "there is no current-context" },
  ["no current-context"] = { (config():gsub("current%-context: x\n", "")),
    'with kubectl config use-context; there is "x"' },
  ["a current-context that is a number"] = { "current-context: 1\n", "current-context must be text; put it in quotes" },
  ["a dangling current-context"] = { "contexts: [{name: prod}]\ncurrent-context: prd\n",
    'current-context names the context "prd", which /h/.kube/config does not have; did you mean "prod"?' },
  ["a dangling cluster"] = { (config():gsub("cluster: c,", "cluster: d,")),
    '/h/.kube/config: context "x" names the cluster "d", which /h/.kube/config does not have; did you mean "c"?' },
  ["a dangling user"] = { (config():gsub("user: u", "user: somebody")), 'names the user "somebody"' },
  ["a context without a cluster"] = { "contexts: [{name: x}]\ncurrent-context: x\n",
    'context "x": it names no cluster' },
  ["no clusters at all"] = { "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n", "there are none" },
  ["clusters as a mapping"] = { "clusters: {c: {}}\n", '"clusters" must be a list of entries with name and cluster' },
  ["an entry without a name"] = { "users: [{user: {}}]\n", "entry 1 of users has no name" },
  ["an entry whose name is a number"] = { "users: [{name: 1}]\n",
    "entry 1 of users has no name, or one that is not text" },
  ["an entry that is text"] = { "users: [u]\n", "entry 1 of users has no name" },
  ["two entries of a name"] = { "users: [{name: u}, {name: u}]\n", 'users has two entries with the name "u"' },
  ["a cluster that is a list"] = { "clusters: [{name: c, cluster: [a]}]\n", 'clusters "c": cluster must be a mapping' },
  ["tabs"] = { "clusters:\n\t- name: c\n", "/h/.kube/config:2:1: not YAML: the line is indented by a tab" },
  ["a namespace that is a number"] = { config(nil, nil, ", namespace: 12"),
    'context "x": namespace must be text, not a number; put it in quotes' },
}

local CLUSTER = {
  ["no server"] = { "tls-server-name: a", 'cluster "c": it has no server' },
  ["a server without scheme"] = { 'server: "k.example:6443"',
    'server must be a URL as https://HOST:PORT, not "k.example:6443"' },
  ["a server of another scheme"] = { 'server: "ftp://k"', "server must be a URL as https://" },
  ["a server with a password"] = { 'server: "https://me:secret@k"', "server must not have a user or a password in it" },
  ["a server with a query"] = { 'server: "https://k?a=b"', 'must not have a "?"' },
  ["a server that is a list"] = { "server: [a]", "server must be text, not a list" },
  ["a CA that is not base64"] = { 'server: "https://k", certificate-authority-data: "ab-d"',
    "certificate-authority-data is not base64: character 3" },
  ["a CA that is cut off"] = { 'server: "https://k", certificate-authority-data: abcde',
    "it is cut off: 5 characters" },
  ["a CA that is not PEM"] = { 'server: "https://k", certificate-authority-data: aGVsbG8=',
    "certificate-authority-data: there is no certificate in PEM form behind the base64" },
  ["a CA file that is missing"] = { 'server: "https://k", certificate-authority: ca',
    'cluster "c": certificate-authority: cannot read /h/.kube/ca: No such file or directory' },
  ["two CAs"] = { ('server: "https://k", certificate-authority: ca, certificate-authority-data: %s'):format(CERT64),
    "both certificate-authority and certificate-authority-data are given; keep one" },
  ["a CA that is not looked at"] = {
    ('server: "https://k", insecure-skip-tls-verify: true, certificate-authority-data: %s'):format(CERT64),
    "both insecure-skip-tls-verify and a certificate-authority are given" },
  ["insecure as text"] = { 'server: "https://k", insecure-skip-tls-verify: "true"',
    "insecure-skip-tls-verify must be true or false, not text" },
  ["a proxy of another scheme"] = { 'server: "https://k", proxy-url: "ftp://p"', "proxy-url: its scheme is ftp" },
}

local EXEC = "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: aws, "
local USER = {
  ["a token that is a number"] = { "token: 12345", 'user "u": token must be text, not a number; put it in quotes' },
  ["a token of two lines"] = { 'token: "a\\nb"', "token has a control character or a line end in it" },
  ["a token file that is missing"] = { "tokenFile: t", "tokenFile: cannot read /h/.kube/t" },
  ["a token and a password"] = { "token: t, username: me", "both a token and a username are given" },
  ["a password alone"] = { "password: p", "password is there without username" },
  ["a certificate alone"] = { "client-certificate-data: " .. CERT64, "client-certificate is there without client-key" },
  ["a key alone"] = { "client-key-data: " .. KEY64, "client-key is there without client-certificate" },
  ["a key that is a certificate"] = { ("client-certificate-data: %s, client-key-data: %s"):format(CERT64, CERT64),
    "client-key-data: there is no private key in PEM form behind the base64" },
  ["a key that is not base64"] = { 'client-key-data: "a=bc"', 'client-key-data is not base64: a "=" stands elsewhere' },
  ["auth-provider"] = { "auth-provider: {name: gcp}", 'the auth-provider "gcp" is not supported' },
  ["impersonation"] = { "as: admin", "impersonation (as) is not supported" },
  ["impersonation by groups"] = { "as-groups: [a]", "impersonation (as-groups) is not supported" },
  ["an exec plugin without command"] = { "exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never}",
    "exec: it has no command" },
  ["an exec plugin without version"] = { "exec: {command: aws}", "exec: it has no apiVersion" },
  ["an exec plugin of an old version"] = { "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1alpha1}",
    'apiVersion "client.authentication.k8s.io/v1alpha1" is not supported' },
  ["an exec plugin without mode"] = { "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1}",
    "exec: interactiveMode is missing" },
  ["an exec plugin of a strange mode"] = {
    "exec: {command: aws, apiVersion: client.authentication.k8s.io/v1, interactiveMode: Sometimes}",
    'interactiveMode "Sometimes" is none of' },
  ["exec arguments that are numbers"] = { EXEC .. "args: [1]}", "exec: args[1] must be text" },
  ["exec arguments that are text"] = { EXEC .. "args: get}", "args must be a list, not text" },
  ["an exec variable without name"] = { EXEC .. "env: [{value: a}]}", "exec: env[1] has no name" },
  ["an exec variable that is a number"] = { EXEC .. "env: [{name: A, value: 1}]}", "the value of env A must be text" },
}

describe("what is wrong is told with file, entry and field:", function()
  for name, case in spairs(WHOLE) do
    it(name, function()
      local sentence, word = refused(case[1])
      assert.truthy(sentence:find(case[2], 1, true), sentence)
      assert.truthy(sentence:find("/h/.kube/config", 1, true), sentence)
      assert.equal("config", word)
    end)
  end
  for name, case in spairs(CLUSTER) do
    it(name, function()
      local sentence = refused(config(case[1]))
      assert.truthy(sentence:find('/h/.kube/config: cluster "c": ', 1, true), sentence)
      assert.truthy(sentence:find(case[2], 1, true), sentence)
      assert.is_nil(sentence:find("secret", 1, true))
    end)
  end
  for name, case in spairs(USER) do
    it(name, function()
      local sentence = refused(config(nil, case[1]))
      assert.truthy(sentence:find('/h/.kube/config: user "u": ', 1, true), sentence)
      assert.truthy(sentence:find(case[2], 1, true), sentence)
    end)
  end

  it("a file that may not be read", function()
    local sentence, word = refused { ["/h/.kube/config"] = config(nil, "tokenFile: t"), ["/h/.kube/t"] = false }
    assert.equal("denied", word)
    assert.truthy(sentence:find('user "u": tokenFile: cannot read /h/.kube/t: Permission denied', 1, true))
  end)

  it("a token file that is empty, a certificate with a NUL byte", function()
    assert.truthy(refused({ ["/h/.kube/config"] = config(nil, "tokenFile: t"), ["/h/.kube/t"] = " \n" })
      :find("tokenFile: /h/.kube/t is empty", 1, true))
    assert.truthy(refused { ["/h/.kube/config"] = config 'server: "https://k", certificate-authority: ca',
      ["/h/.kube/ca"] = PEM .. "\0" })
  end)

  it("a proxy of the environment", function()
    assert.truthy(refused({ ["/h/.kube/config"] = config() }, { HOME = "/h", HTTPS_PROXY = "ftp://p" })
      :find("HTTPS_PROXY: its scheme is ftp", 1, true))
  end)
end)

describe("base64", function()
  it("is decoded to what was encoded, with and without line ends", function()
    for size = 0, 20 do
      local bytes = {}
      for i = 1, size do
        bytes[i] = string.char((i * 37 + size * 11) % 256)
      end
      local text = table.concat(bytes)
      assert.equal(text, base64.decode(base64.encode(text)))
      assert.equal(text, base64.decode((base64.encode(text):gsub("....", "%0\r\n"))))
    end
    assert.equal("aGVsbG8=", base64.encode "hello")
    assert.equal("////", base64.encode "\255\255\255")
  end)
end)
