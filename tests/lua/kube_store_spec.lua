--- Records in the simulated API server: where they are kept, what answers become, how old they are.
--- That they keep the contract of stores is tests/lua/contract_memory_spec.lua.

local apiserver = require "konductor.sim.apiserver"
local kube_store = require "konductor.sim.kube_store"

local function desk()
  local uids = 0
  local self = { now = 0 }
  self.server = apiserver.new {
    now_ms = function() return self.now end,
    uid = function()
      uids = uids + 1
      return "uid-" .. uids
    end,
  }
  self.store = kube_store.new(self.server)

  function self.object(resource, name)
    return self.server:call({ verb = "get", resource = resource, namespace = "default", name = name }).body
  end

  return self
end

describe("a record in the API server", function()
  it("is a custom resource of its kind, or a Record that names the kind", function()
    local d = desk()
    d.store:create("Lease", "x", { ttl = "15s" })
    d.store:create("Semaphore", "x", { seats = 2 })
    local lease, record = d.object("leases.konductor.io", "x"), d.object("records.konductor.io", "semaphore.x")
    assert.equal("15s", lease.spec.ttl)
    assert.equal("Lease", lease.metadata.labels["konductor.io/kind"])
    assert.same({ kind = "Semaphore", data = { seats = 2 } }, record.spec)
    assert.equal("Semaphore", record.metadata.labels["konductor.io/kind"])
    local back = d.store:get("Semaphore", "x")
    assert.same({ "Semaphore", "x", 2 }, { back.kind, back.name, back.spec.seats })
  end)

  it("is written by a manager that says on whose behalf", function()
    local d = desk()
    local record = d.store:create("Once", "x", {})
    record = d.store:replace(record, { op = "1" }, { by = "holder" })
    record = d.store:replace(record, { op = "1", waiters = {} }, { by = "queue" })
    d.store:replace(record, { op = "1", waiters = {}, gc = true }, { by = "gc" })
    local managers = {}
    for _, entry in ipairs(d.object("onces.konductor.io", "x").metadata.managedFields) do
      managers[entry.manager] = entry.subresource or "object"
    end
    assert.same({ unknown = "object", ["konductor-holder"] = "status", ["konductor-queue"] = "status",
      ["konductor-gc"] = "status" }, managers)
  end)

  it("has an age in whole seconds, which only the queue does not set back", function()
    local d = desk()
    local record = d.store:create("Once", "x", {})
    d.now = 1700
    record = d.store:replace(record, { op = "1" })
    d.now = 4200
    assert.equal(3000, d.store:get("Once", "x").age_ms)
    record = d.store:replace(record, { op = "1", waiters = {} }, { by = "queue" })
    assert.equal(3000, record.age_ms)
    assert.equal(0, d.store:replace(record, { op = "2" }).age_ms)
  end)

  it("shows generation, and that it is being deleted", function()
    local d = desk()
    d.store:create("Once", "x", {})
    local object = d.object("onces.konductor.io", "x")
    d.server:call {
      verb = "update", resource = "onces.konductor.io", namespace = "default", name = "x",
      body = { metadata = { resourceVersion = object.metadata.resourceVersion, finalizers = { "a/b" } },
        spec = object.spec },
    }
    assert.is_nil(d.store:get("Once", "x").deleting)
    d.store:delete(d.store:get("Once", "x"))
    local record = d.store:get("Once", "x")
    assert.same({ true, 2 }, { record.deleting, record.generation })
  end)
end)

describe("an answer of the API server", function()
  local WORDS = {
    { fault = { lost = true }, write = "unknown", read = "store" },
    { fault = { status = 500 }, write = "unknown", read = "store" },
    { fault = { status = 504, apply = "later" }, write = "unknown", read = "store" },
    { fault = { status = 429, retry_after = 1 }, write = "busy", read = "busy" },
  }

  for _, case in ipairs(WORDS) do
    it(("%s is %s to a writer and %s to a reader"):format(case.fault.status or "that is lost", case.write, case.read),
      function()
        local d = desk()
        local record = d.store:create("Once", "x", {})
        assert.equal(case.write, select(2, d.store:create("Once", "y", {}, case.fault)))
        assert.equal(case.write, select(2, d.store:replace(record, { op = "1" }, nil, case.fault)))
        assert.equal(case.write, select(2, d.store:delete(record, case.fault)))
        assert.equal(case.read, select(2, d.store:get("Once", "x", case.fault)))
        assert.equal(case.read, select(2, d.store:list("Once", case.fault)))
      end)
  end

  it("that the namespace goes or is not there is of the setting, not of the record", function()
    local d = desk()
    d.server:namespace("default", "Terminating")
    assert.equal("config", select(2, d.store:create("Once", "x", {})))
    d.server.namespaces.default = nil
    assert.equal("config", select(2, d.store:create("Once", "x", {})))
    assert.equal("absent", select(2, d.store:get("Once", "x")))
  end)
end)
