--- The label of the leader's Pod: what is asked of the server, in which order, and when again.

local pod_label = require "konductor.kube.pod_label"

local ROLE = "/metadata/labels/example.org~1role"

--- A server with Pods and a world whose tasks are coroutines. `pods` maps a name to true where it has the label.
local function new(pods, faults)
  local made = { now = 0, asked = {}, said = {}, boxes = {}, versions = {} }
  local w = {
    now = function() return made.now end,
    log = function(level, words) table.insert(made.said, level .. ": " .. words) end,
    inbox = function()
      local box = {}
      function box.wait(_, at)
        made.at = at
        coroutine.yield()
      end
      function box.post() made.posted = true end
      function box.close() end
      return box
    end,
    task = function(_, fn, ...)
      made.task = coroutine.create(fn)
      made.arguments = { ... }
    end,
  }
  local function change(pod, labelled)
    pods[pod] = labelled
    made.versions[pod] = (made.versions[pod] or 1) + 1
    return { status = 200, body = {} }
  end
  local function patch(pod, given)
    if pods[pod] == nil then
      return { status = 404, body = { message = "no such pod" } }
    elseif given.body.metadata then
      return change(pod, true)
    end
    local test = given.body[1]
    local there = test.path == ROLE and pods[pod] or test.value == tostring(made.versions[pod] or 1)
    return there and change(pod, false) or { status = 422, body = { message = "test failed" } }
  end
  local function list()
    local items = {}
    for pod, labelled in pairs(pods) do
      if labelled then
        items[#items + 1] = { metadata = { name = pod, resourceVersion = tostring(made.versions[pod] or 1) } }
      end
    end
    return { status = 200, body = { items = items } }
  end
  local function request(given)
    local pod = given.path:match "/pods/(.*)$"
    made.asked[#made.asked + 1] = given.method .. " " .. (pod or given.query)
    local fault = faults and faults(#made.asked, made)
    if fault then
      local body = fault.body or { message = "fault" }
      return fault.status and { status = fault.status, body = body } or nil, "unreachable", "no answer"
    end
    return pod and patch(pod, given) or list()
  end
  made.label = pod_label.new(w, request, {
    namespace = "shop", pod = "a", lease = "boss", label = { key = "example.org/role", value = "leader" },
    array = function(items) return items end,
  })
  function made.run()
    assert(coroutine.resume(made.task, unpack(made.arguments)))
    made.arguments = {}
  end
  function made.tell(name)
    made.posted = false
    made.label:take(name, { kind = "Lease", name = "boss" })
    if made.posted then
      made.run()
    end
  end
  made.run()
  return made
end

describe("the label of the leader's Pod", function()
  it("is taken off its own Pod at the start, where a container before it may have left it", function()
    local pods = { a = true }
    local made = new(pods)
    assert.same({ "PATCH a" }, made.asked)
    assert.same({ a = false }, pods)
    assert.is_nil(made.at)
  end)

  it("is taken off all other Pods before it is put on its own, and off that when the work has ended", function()
    local pods = { a = false, b = true, c = false }
    local made = new(pods)
    made.tell "start"
    assert.same({ "PATCH a", "GET labelSelector=example.org/role=leader", "PATCH b", "PATCH a" }, made.asked)
    assert.same({ a = true, b = false, c = false }, pods)
    made.tell "stop"
    assert.same({ a = false, b = false, c = false }, pods)
    assert.same({ "info: boss: label example.org/role=leader: on Pod a" }, made.said)
  end)

  it("is taken off as soon as the lease is being lost, and not once more when the work has ended", function()
    local made = new { a = false }
    made.tell "start"
    made.tell "lost"
    local asked = #made.asked
    made.tell "stop"
    assert.equal(asked, #made.asked)
  end)

  it("is not moved by what happens to other objects", function()
    local made = new { a = false }
    made.label:take("start", { kind = "Lease", name = "other" })
    made.label:take("start", { kind = "Once", name = "boss" })
    assert.same({ false, 1 }, { made.label.wanted, #made.asked })
  end)

  it("is looked after once a minute: one read where all is well, and put back where it is not", function()
    local pods = { a = false, b = false }
    local made = new(pods)
    made.tell "start"
    assert.equal(60000, made.at)
    local asked = #made.asked
    made.run()
    assert.equal(asked + 1, #made.asked)
    pods.a, pods.b = false, true
    made.run()
    assert.same({ a = true, b = false }, pods)
  end)

  it("is left on a Pod that has changed since it was seen, which is then looked at again", function()
    local pods = { a = false, b = true }
    local made = new(pods, function(number, it)
      if number == 3 then
        it.versions.b = 9 -- between the list and the patch
      end
    end)
    made.tell "start"
    assert.same({ true, false }, { pods.b, pods.a })
    assert.same({}, made.said)
    made.run()
    assert.same({ false, true }, { pods.b, pods.a })
  end)

  it("is not put on when the work ends while the server is slow", function()
    local pods = { a = false, b = true }
    local made = new(pods, function(number, it)
      if number == 2 then
        it.label:take("lost", { kind = "Lease", name = "boss" })
      end
    end)
    made.tell "start"
    assert.same({ a = false, b = true }, pods)
    assert.equal("PATCH a", made.asked[#made.asked])
  end)

  it("is tried again with growing pauses, with one warning that says why", function()
    for _, fault in ipairs { { status = 500 }, { status = 403 }, {} } do
      local made = new({ a = false }, function(number) return number > 1 and fault or nil end)
      made.tell "start"
      local pauses = {}
      for i = 1, 12 do
        pauses[i] = made.at - made.now
        made.now = made.at
        made.run()
      end
      assert.same({ 100, 200, 400, 30000 }, { pauses[1], pauses[2], pauses[3], pauses[12] })
      assert.equal(1, #made.said)
      assert.truthy(made.said[1]:find "^warn: boss: label example.org/role=leader: not on Pod a, it is tried again: ")
    end
  end)

  it("is tried again when what a server, or a proxy before it, sends with a 200 is no list of Pods", function()
    for _, body in ipairs { "", "<html>", 7, {}, { items = "none" }, { items = { 5 } }, { items = { {} } },
      { items = { { metadata = { name = {}, resourceVersion = "1" } } } } } do
      local pods = { a = false, b = true }
      local made = new(pods, function(n) return n > 1 and n < 5 and { status = 200, body = body } end)
      made.tell "start"
      for _ = 1, 3 do
        made.run()
      end
      assert.same({ a = true, b = false }, pods)
      assert.truthy(made.said[1]:find("the answer is no list of Pods", 1, true))
    end
  end)

  it("says that there is no such Pod when the replica has another name", function()
    local made = new {}
    assert.same({}, made.said)
    made.tell "start"
    for _ = 1, 3 do
      made.run()
    end
    assert.truthy(made.said[1]:find("the server answered 404: no such pod", 1, true))
  end)

  it("is waited for at the end only while it is not where it should be", function()
    local made = new { a = false }
    made.label:flush(1000) -- waiting would yield outside a coroutine, and raise
    made.tell "start"
    made.label:flush(1000)
    made.label:take("stop", { kind = "Lease", name = "boss" })
    local flushing = coroutine.create(function() made.label:flush(1000) end)
    assert(coroutine.resume(flushing))
    assert.equal("suspended", coroutine.status(flushing))
  end)
end)
