--- What is told to the cluster of what a process did, and that telling it delays nobody.

local events = require "konductor.kube.events"

local WALL = "2026-01-01T00:00:00.123456Z"
local OPTIONS = { store = "kube", namespace = "shop", holder = "pod-a" }

local function describe_event(name, fields, over)
  fields.kind, fields.name = fields.kind or "Once", fields.name or "migrate"
  local options = {}
  for key, value in pairs(OPTIONS) do
    options[key] = over and over[key] or value
  end
  return events.describe(options, name, fields, { uid = "u", wall = WALL, mark = "m-1" })
end

describe("a Kubernetes Event", function()
  it("has every field that the API asks for, and is about the object with its uid", function()
    assert.same({
      apiVersion = "events.k8s.io/v1", kind = "Event", metadata = { name = "migrate.m-1", namespace = "shop" },
      eventTime = WALL, type = "Normal", reason = "Acquired", action = "Acquire", note = "pod-a holds it; fence 4",
      regarding = {
        apiVersion = "konductor.io/v1", kind = "Once", namespace = "shop", name = "migrate", uid = "u",
      },
      reportingController = "konductor.io/konductor", reportingInstance = "pod-a",
    }, describe_event("claim", { fence = 4 }))
  end)

  it("tells grants, hand-overs, ends and what went wrong, the latter as warnings", function()
    for _, case in ipairs {
      { "claim", { fence = 4 }, "Acquired", "Normal", "holds it" },
      { "claim", { fence = 4, takeover = true }, "TakenOver", "Warning", "from a holder that is gone" },
      { "accept", { fence = 4 }, "HandedOver", "Normal", "handed over" },
      { "complete", { fence = 4, version = "1.2" }, "Executed", "Normal", "executed version 1.2" },
      { "fail", { attempts = 2, code = 7 }, "Failed", "Warning", "attempt 2 with exit code 7" },
      { "fail", { attempts = 3, final = true }, "FailedForGood", "Warning", "none is left" },
      { "lost", { fence = 4, why = "taken" }, "HoldLost", "Warning", "(taken)" },
      { "superseded", { fence = 4, theirs = 9 }, "Superseded", "Warning", "may be done twice" },
      { "revoke", { from = "pod-b", fence = 4 }, "Revoked", "Warning", "by force from pod-b, who had it" },
    } do
      local event = describe_event(case[1], case[2])
      assert.same({ case[3], case[4] }, { event.reason, event.type })
      assert.truthy(event.note:find(case[5], 1, true), event.note)
    end
  end)

  it("is not made of what only this process is interested in", function()
    for _, name in ipairs { "renew", "join", "leave", "start", "stop", "skip", "wait", "flow", "main", "grant" } do
      assert.is_nil(describe_event(name, { fence = 1 }))
    end
  end)

  it("is about the coordination Lease or the Record that keeps the object", function()
    local lease = describe_event("claim", { fence = 1 }, { store = "kube-lease" }).regarding
    assert.same({ "coordination.k8s.io/v1", "Lease", "once.migrate" }, { lease.apiVersion, lease.kind, lease.name })
    local record = describe_event("claim", { fence = 1, kind = "Semaphore", name = "db" }).regarding
    assert.same({ "konductor.io/v1", "Record", "semaphore.db" }, { record.apiVersion, record.kind, record.name })
  end)

  it("keeps to the limits of the API", function()
    local event = describe_event("claim", { fence = 1, name = ("x"):rep(253) }, { holder = ("h"):rep(2000) })
    assert.same({ 253, 1024, 128 }, { #event.metadata.name, #event.note, #event.reportingInstance })
  end)
end)

-- A world whose tasks run when they are told to, and requests that answer as they are told.
local function reporter(answer)
  local made = { now = 0, tasks = {}, asked = {}, said = {} }
  local w = {
    session = ("a"):rep(32), now = function() return made.now end, wall = function() return WALL end,
    task = function(_, fn, ...) table.insert(made.tasks, { fn, ... }) end,
    log = function(level, words) table.insert(made.said, level .. ": " .. words) end,
  }
  made.reporter = events.new(w, function(given)
    table.insert(made.asked, given)
    if not answer then
      return nil, "store", "no route to host"
    end
    return { status = answer, body = {} }
  end, OPTIONS)
  function made.run()
    for _, task in ipairs(made.tasks) do
      task[1](task[2])
    end
    made.tasks = {}
  end
  function made.claim(name)
    made.reporter:take("claim", { kind = "Lease", name = name or "boss", fence = 1, uid = "u" })
  end
  return made
end

describe("the reporter of Kubernetes Events", function()
  it("sends nothing within the call that tells it, but from a task of its own", function()
    local made = reporter(201)
    made.claim()
    assert.equal(0, #made.asked)
    made.run()
    assert.equal("POST", made.asked[1].method)
    assert.equal("/apis/events.k8s.io/v1/namespaces/shop/events", made.asked[1].path)
  end)

  it("remembers the uid of what was claimed for what is told of it later", function()
    local made = reporter(201)
    made.claim()
    made.reporter:take("lost", { kind = "Lease", name = "boss", fence = 1, why = "deadline" })
    made.run()
    assert.equal("u", made.asked[2].body.regarding.uid)
    assert.are_not.equal(made.asked[1].body.metadata.name, made.asked[2].body.metadata.name)
  end)

  it("says nothing of an object that it has never held", function()
    local made = reporter(201)
    made.reporter:take("lost", { kind = "Lease", name = "boss", fence = 1, why = "deadline" })
    made.run()
    assert.equal(0, #made.asked)
  end)

  it("stops at the first refusal, with one line for debugging", function()
    local made = reporter(403)
    made.claim "a"
    made.claim "b"
    made.run()
    made.claim "c"
    made.run()
    assert.same({ 1, 1 }, { #made.asked, #made.said })
    assert.truthy(made.said[1]:find "^debug: ")
  end)

  it("goes on after a passing failure", function()
    for _, answer in ipairs { 500, 429, false } do
      local made = reporter(answer or nil)
      made.claim()
      made.run()
      made.claim()
      made.run()
      assert.equal(2, #made.asked)
    end
  end)

  it("sends a few in a row and then one every ten seconds", function()
    local made = reporter(201)
    for _ = 1, 100 do
      made.claim()
      made.run()
    end
    assert.equal(16, #made.asked)
    made.now = 25000
    for _ = 1, 100 do
      made.claim()
      made.run()
    end
    assert.equal(18, #made.asked)
  end)

  it("waits at the end only when something is under way", function()
    local made = reporter(201)
    made.reporter:flush(1000) -- the world has no inbox: waiting would raise
    made.claim()
    made.run()
    made.reporter:flush(1000)
    assert.equal(1, #made.asked)
  end)
end)
