--- What the model of an API server does beside answering as a real one: faults for the network
--- to inject, watches that lag, backups.

local apiserver = require "konductor.sim.apiserver"

local ONCES = "onces.konductor.io"

local function desk(options)
  options = options or {}
  local uids = 0
  local self = { now = 0 }
  local server = apiserver.new {
    now_ms = function() return self.now end, window = options.window,
    uid = function()
      uids = uids + 1
      return "uid-" .. uids
    end,
  }
  server:namespace "n"
  self.server = server

  local function call(verb, name, body, fault, query)
    local request = { verb = verb, resource = ONCES, namespace = "n", name = name, body = body, query = query }
    return server:call(request, fault)
  end

  function self.get(fault)
    return call("get", "a", nil, fault)
  end

  function self.list(fault)
    return call("list", nil, nil, fault)
  end

  function self.create(name, fault)
    return call("create", nil, { metadata = { name = name }, spec = {} }, fault)
  end

  function self.write(object, op, fault)
    return call("update_status", object.metadata.name, {
      metadata = { uid = object.metadata.uid, resourceVersion = object.metadata.resourceVersion },
      status = { op = op },
    }, fault, { fieldManager = "holder" })
  end

  function self.delete(name)
    return call("delete", name)
  end

  function self.watch(query)
    return call("watch", nil, nil, nil, query).watch
  end

  return self
end

local function op_of(d)
  return d.get().body.status.op
end

describe("a fault of the server", function()
  it("that loses the answer leaves the write applied", function()
    local d = desk()
    local made = d.create("a").body
    assert.is_nil(d.write(made, "x", { lost = true }))
    assert.equal("x", op_of(d))
  end)

  it("that delivers twice answers what the second one met", function()
    local d = desk()
    local made = d.create("a").body
    assert.equal(409, d.write(made, "x", { twice = true }).status)
    assert.equal("x", op_of(d))
    assert.equal("AlreadyExists", d.create("b", { twice = true }).body.reason)
  end)

  it("that refuses with 429 says when to come back, and applies nothing", function()
    local d = desk()
    local made = d.create("a").body
    local answer = d.write(made, "x", { status = 429, retry_after = 5 })
    assert.same({ 429, 5, "TooManyRequests" }, { answer.status, answer.retry_after, answer.body.reason })
    assert.equal(5, answer.body.details.retryAfterSeconds)
    assert.is_nil(op_of(d))
  end)

  it("that answers 500 may come before the write or after it", function()
    local d = desk()
    local made = d.create("a").body
    assert.equal(500, d.write(made, "x", { status = 500 }).status)
    assert.is_nil(op_of(d))
    assert.equal(500, d.write(made, "x", { status = 500, apply = "yes" }).status)
    assert.equal("x", op_of(d))
  end)

  it("that answers 504 lets the write land later, if its version still stands", function()
    local d = desk()
    local made = d.create("a").body
    local first = d.write(made, "first", { status = 504, apply = "later" })
    local second = d.write(made, "second", { status = 504, apply = "later" })
    assert.same({ 504, "Timeout" }, { first.status, first.body.reason })
    assert.is_nil(op_of(d))
    assert.equal(200, first.land().status)
    assert.equal(409, second.land().status)
    assert.equal("first", op_of(d))
  end)

  it("that reads from the past shows the state before the last write, of an object or of a list", function()
    local d = desk()
    local made = d.create("a").body
    assert.equal(404, d.get({ stale = true }).status)
    d.write(made, "x")
    d.create "b"
    assert.is_nil(d.get({ stale = true }).body.status.op)
    assert.equal("x", op_of(d))
    assert.equal(1, #d.list({ stale = true }).body.items)
    assert.equal(2, #d.list().body.items)
    d.delete "a"
    assert.equal("x", op_of({ get = function() return d.get({ stale = true }) end }))
    assert.equal(404, d.get().status)
  end)
end)

describe("a watch of the model", function()
  it("that is stalled is told everything once it goes on", function()
    local d = desk()
    local watch = d.watch { resourceVersion = "1" }
    watch.stalled = true
    d.write(d.create("a").body, "x")
    assert.is_nil(watch:take())
    watch.stalled = false
    assert.equal("ADDED", watch:take().type)
    assert.equal("MODIFIED", watch:take().type)
    assert.is_nil(watch:take())
    assert.is_false(watch.ended)
  end)

  it("that lags further behind than the server remembers ends; from its place on there is only 410", function()
    local d = desk { window = 3 }
    local watch = d.watch { resourceVersion = "1" }
    local first = d.create("a").body.metadata.resourceVersion
    assert.equal("ADDED", watch:take().type)
    for i = 1, 4 do
      d.create("b" .. i)
    end
    assert.is_nil(watch:take())
    assert.is_true(watch.ended)
    assert.equal(410, d.watch({ resourceVersion = first }):take().object.code)
  end)

  it("is told of the server's version once a minute, if it asked", function()
    local d = desk()
    local watch = d.watch { resourceVersion = "1", allowWatchBookmarks = true, timeoutSeconds = 300 }
    d.now = 59999
    assert.is_nil(watch:take())
    d.now = 60000
    assert.equal("BOOKMARK", watch:take().type)
    assert.is_nil(watch:take())
  end)

  it("that was closed is told nothing more", function()
    local d = desk()
    local watch = d.watch { resourceVersion = "1" }
    d.create "a"
    watch:close()
    assert.is_nil(watch:take())
  end)
end)

describe("a backup", function()
  it("brings back objects and versions, which are given out again", function()
    local d = desk()
    local made = d.create("a").body
    local saved = d.server:save()
    local written = d.write(made, "x").body
    d.create "b"
    d.server:restore(saved)
    assert.is_nil(op_of(d))
    assert.equal(1, #d.list().body.items)
    assert.equal(written.metadata.resourceVersion, d.write(made, "y").body.metadata.resourceVersion)
    assert.equal("y", op_of(d))
  end)
end)
