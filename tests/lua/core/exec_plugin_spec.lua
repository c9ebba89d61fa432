-- Exec plugins, as commands that really run.
local core = require "konductor.core"
local exec_plugin = require "konductor.kube.exec_plugin"
local keep_fresh = require "konductor.kube.open"
local rfc3339 = require "konductor.kube.rfc3339"

local V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
local CONNECTION = { server = "https://k.example", ca = "PEM", tls_server_name = "n" }

local world = { now = core.now, wall = core.wall, stop = function() return { close = function() end } end }

local function plugin(shell, more)
  local made = {
    where = 'FILE: user "u"', version = V1, command = "sh", args = { "-c", shell }, env = {}, mode = "Never",
    wants_cluster = false,
  }
  for name, value in pairs(more or {}) do
    made[name] = value
  end
  return made
end

local function answer(status, version)
  return ([[echo '{"kind":"ExecCredential","apiVersion":"%s","status":{%s}}']]):format(version or V1, status)
end

local function run(shell, more, how)
  return exec_plugin.run(plugin(shell, more), CONNECTION, world, how)
end

local function refused(shell, more, how)
  local identity, word, sentence = run(shell, more, how)
  assert.is_nil(identity)
  assert.equal('FILE: user "u": the exec plugin "', sentence:sub(1, 33))
  return sentence, word
end

describe("an exec plugin", function()
  it("gives a token, or a certificate with its key, in both versions", function()
    assert.same({ token = "t" }, run(answer '"token":"t"'))
    assert.same({ token = "t" }, run(answer('"token":"t"', V1BETA1), { version = V1BETA1 }))
    assert.same({ cert = "c", key = "k" }, run(answer '"clientCertificateData":"c","clientKeyData":"k","token":""'))
  end)

  it("says when it ends", function()
    local identity = run(answer '"token":"t","expirationTimestamp":"2999-01-01T00:00:00Z"')
    assert.near(rfc3339.parse "2999-01-01T00:00:00Z" - rfc3339.parse(core.wall()), identity.expires_in_ms, 60000)
  end)

  it("is told version, cluster and that nobody can be asked; its own variables count", function()
    local shell = [[test "$A" = b || exit 9; printf '{"kind":"ExecCredential","apiVersion":"%s",]]
      .. [["status":{"token":"%s"}}' ]] .. V1 .. ' "$(printf %s "$KUBERNETES_EXEC_INFO" | od -An -tx1 | tr -d " \\n")"'
    local function told(more)
      more.env = { A = "b" }
      local hex = assert(run(shell, more)).token
      return core.json.decode((hex:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)))
    end
    assert.same({ apiVersion = V1, kind = "ExecCredential", spec = { interactive = false } }, told {})
    assert.same({
      server = "https://k.example", ["certificate-authority-data"] = "UEVN", ["tls-server-name"] = "n",
      ["proxy-url"] = "http://p", config = { audience = "a", list = {} },
    }, told({ wants_cluster = true, cluster = {
      ["proxy-url"] = "http://p",
      extensions = { { name = "other" }, { name = "client.authentication.k8s.io/exec",
        extension = { audience = "a", list = core.json.array {} } } },
    } }).spec.cluster)
  end)

  it("does not hold up other tasks, and has nothing on its standard input", function()
    local ticks, inbox = 0, core.inbox()
    local fifo = os.tmpname()
    os.remove(fifo)
    os.execute("mkfifo " .. fifo)
    core.task(inbox, function()
      ticks = ticks + 1
      local file = io.open(fifo, "w") -- opens when the plugin, which waits for it, reads
      file:write("go\n")
      file:close()
    end)
    local wait = ("test -z \"$(cat)\" || exit 9; read word <%s; "):format(fifo)
    assert.same({ token = "t" }, run(wait .. answer '"token":"t"'))
    assert.equal(1, ticks)
    os.remove(fifo)
  end)
end)

describe("what an exec plugin does wrong is told with its last words, and nothing of its output:", function()
  for name, case in pairs {
    ["an exit code"] = { "echo first >&2; echo 'please log in' >&2; echo secret; exit 3",
      "it ended with exit code 3: please log in", "denied" },
    ["an exit code and no words"] = { "exit 1", "it ended with exit code 1", "denied" },
    ["a signal"] = { "kill -9 $$", "it was ended by signal 9", "denied" },
    ["no JSON"] = { "echo secret", "it prints no ExecCredential", "config" },
    ["nothing"] = { "true", "it prints no ExecCredential", "config" },
    ["another kind"] = { [[echo '{"kind":"Secret","apiVersion":"]] .. V1 .. [["}']],
      "prints no ExecCredential", "config" },
    ["another version"] = { answer('"token":"secret"', V1BETA1), 'it answers with apiVersion "' .. V1BETA1, "config" },
    ["no status"] = { [[echo '{"kind":"ExecCredential","apiVersion":"]] .. V1 .. [["}']], "has no status", "config" },
    ["no credentials"] = { answer "", "neither a token nor a certificate", "config" },
    ["a token that is a number"] = { answer '"token":5', "status.token is no text", "config" },
    ["a token of two lines"] = { answer '"token":"secret\\nb"', "a space or a line end in it", "config" },
    ["a certificate alone"] = { answer '"clientCertificateData":"secret"', "a certificate without a key", "config" },
    ["a key without certificate"] = { answer '"clientKeyData":"secret"', "a key without a certificate", "config" },
    ["an end that is no time"] = { answer '"token":"secret","expirationTimestamp":"soon"', "no time of RFC", "config" },
    ["an end that is over"] = { answer '"token":"secret","expirationTimestamp":"2020-01-01T00:00:00Z"',
      "its credentials ended at 2020-01-01T00:00:00Z", "config" },
  } do
    it(name, function()
      local sentence, word = refused(case[1])
      assert.truthy(sentence:find(case[2], 1, true), sentence)
      assert.is_nil(sentence:find("secret", 1, true), sentence)
      assert.equal(case[3], word)
    end)
  end

  it("a command that is not there, with the hint how to install it", function()
    local sentence, word = refused("", { command = "kubelogin-of-mine", hint = "get it\nfrom there" })
    assert.equal("config", word)
    assert.truthy(sentence:find("cannot run kubelogin-of-mine: no such command in PATH; get it from there", 1, true))
  end)

  it("a hang: it is killed, with all that it started", function()
    local pid = os.tmpname()
    local shell = ("echo waiting for you >&2; sleep 1000 & echo $! >%s; wait"):format(pid)
    local sentence, word = refused(shell, nil, { limit_ms = 300 })
    assert.equal("store", word)
    assert.truthy(sentence:find("killed because it gave no answer within 0.3 s: waiting for you", 1, true), sentence)
    local file = io.open(pid)
    assert.is_nil(io.open(("/proc/%s/stat"):format(file:read "*l")))
    file:close()
    os.remove(pid)
  end)

  it("more words on standard error than anybody reads", function()
    local sentence = refused("head -c 3000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo the end >&2; exit 1")
    assert.truthy(sentence:find("exit code 1: the end", 1, true), sentence)
    sentence = refused("head -c 3000000 /dev/zero | tr '\\0' x >&2; exit 1")
    assert.is_true(#sentence < 700)
  end)

  it("more output than anybody needs", function()
    local sentence = refused("head -c 3000000 /dev/zero")
    assert.truthy(sentence:find("it prints no ExecCredential", 1, true))
  end)

  it("a wish to ask where nobody is", function()
    local sentence, word = refused(answer '"token":"t"', { mode = "Always" })
    assert.equal("config", word)
    assert.truthy(sentence:find("interactiveMode: Always", 1, true))
  end)

  it("a call of konductor with the kubeconfig that names it", function()
    local environ = core.environ
    core.environ = function() -- luacheck: ignore 122
      local env = environ()
      env.KONDUCTOR_EXEC_DEPTH = "2"
      return env
    end
    local ok, sentence, word = pcall(refused, answer '"token":"t"')
    core.environ = environ -- luacheck: ignore 122
    assert.is_true(ok, sentence)
    assert.equal("config", word)
    assert.truthy(sentence:find("calls konductor with the kubeconfig that names it", 1, true))
  end)

  it("and knows how deep it is", function()
    assert.equal("1", run(answer [["token":"'$KONDUCTOR_EXEC_DEPTH'"]]).token)
  end)
end)

describe("asked to stop", function()
  it("while it opens, konductor ends the plugin", function()
    local ready = core.inbox()
    local stopping = { now = core.now, wall = core.wall }
    function stopping.stop(inbox)
      inbox:post { type = "stop" }
      return { close = function() ready:post { type = "closed" } end }
    end
    local identity, word = exec_plugin.run(plugin "sleep 1000", CONNECTION, stopping, { is_opening = true })
    assert.is_nil(identity)
    assert.equal("cancelled", word)
    assert.equal("closed", ready:wait().type)
  end)

  it("while work runs, credentials are renewed all the same", function()
    assert.same({ token = "t" }, exec_plugin.run(plugin(answer '"token":"t"'), CONNECTION,
      { now = core.now, wall = core.wall, stop = function() error "not asked" end }))
  end)

  it("a task that is cancelled ends its plugin", function()
    local done = core.inbox()
    local task = core.task(done, function()
      local _, word = run "sleep 1000"
      return word
    end)
    task:cancel()
    local event = done:wait(core.now() + 20000)
    assert.same({ true, "cancelled" }, { event.ok, event.value })
  end)
end)

describe("fresh credentials", function()
  it("are asked for when a fifth of the time is left, at most five minutes before, never all the time", function()
    assert.is_nil(keep_fresh.refresh_after(nil))
    assert.equal(48000, keep_fresh.refresh_after(60000))
    assert.equal(3300000, keep_fresh.refresh_after(3600000))
    assert.equal(1000, keep_fresh.refresh_after(10))
  end)
end)

describe("a time of RFC 3339", function()
  it("is milliseconds since 1970", function()
    for text, ms in pairs {
      ["1970-01-01T00:00:00Z"] = 0, ["1969-12-31T23:59:59Z"] = -1000, ["2000-02-29T12:00:00Z"] = 951825600000,
      ["2026-11-21T12:34:56.789Z"] = 1795264496789, ["2026-11-21T14:34:56+02:00"] = 1795264496000,
      ["2100-03-01T00:00:00-00:30"] = 4107544200000, ["2026-11-21t12:34:56.7899999z"] = 1795264496789,
    } do
      assert.equal(ms, rfc3339.parse(text), text)
    end
  end)

  it("is nothing else", function()
    for _, text in ipairs { "", "soon", "2026-11-21", "2026-11-21T12:34:56", "2026-13-01T00:00:00Z",
      "2026-11-21T24:00:00Z", "2026-11-21T12:34:56.Z", "2026-11-21T12:34:56+0200", "2026-11-21 12:34:56Z" } do
      assert.is_nil(rfc3339.parse(text), text)
    end
  end)
end)
