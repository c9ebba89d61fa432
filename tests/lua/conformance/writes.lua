--- Create and replace.

local lib = require "conformance.lib"
local equal, put, rev = lib.equal, lib.put, lib.rev
local ONCES, LEASES = lib.ONCES, lib.LEASES

local claims, claim = lib.claims()

claim("create answers 201 with version, uid, creation time, generation 1 and a Date", function(api)
  local d = lib.desk(api)
  local answer = d:call("create", ONCES, nil, lib.once "a")
  equal(201, answer.status, "status")
  local metadata = answer.body.metadata
  equal("a", metadata.name, "name")
  equal(d.namespace, metadata.namespace, "namespace")
  equal(true, rev(answer.body) > 0, "version")
  equal(true, #metadata.uid > 0, "uid")
  equal(1, metadata.generation, "generation")
  equal(true, metadata.creationTimestamp:match "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$" ~= nil, "time to the second")
  equal("number", type(answer.date), "Date")
end)

claim("create drops the status, and the definition's default stands in its place", function(api)
  local d = lib.desk(api)
  local body = lib.once "a"
  body.status = { op = "mine", phase = "Executed", executed = true }
  local made = d:ask(201, "create", ONCES, nil, body)
  equal("Pending", made.status.phase, "phase")
  equal(nil, made.status.op, "op")
  equal(nil, d:get(ONCES, "a").status.op, "stored op")
end)

claim("a second create says 409 AlreadyExists and changes nothing", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local status = d:refused(409, "AlreadyExists", "create", ONCES, nil, lib.once("a", { labels = { x = "y" } }))
  equal("a", status.details.name, "details.name")
  equal("onces", status.details.kind, "details.kind")
  equal("konductor.io", status.details.group, "details.group")
  equal(rev(made), rev(d:get(ONCES, "a")), "version")
end)

claim("create with a resourceVersion is refused with 500", function(api)
  local d = lib.desk(api)
  d:refused(500, nil, "create", ONCES, nil, lib.once("a", { resourceVersion = "5" }))
  d:refused(404, "NotFound", "get", ONCES, "a")
end)

claim("create in a namespace that is not there says 404 of the namespace, get that of the object", function(api)
  local d = lib.desk(api)
  d.namespace = d.namespace .. "-none"
  local status = d:refused(404, "NotFound", "create", ONCES, nil, lib.once "a")
  equal("namespaces", status.details.kind, "details.kind")
  equal(d.namespace, status.details.name, "details.name")
  equal("onces", d:refused(404, "NotFound", "get", ONCES, "a").details.kind, "details.kind of a get there")
  equal(0, #d:ask(200, "list", ONCES).items, "a list there is empty")
end)

claim("in a namespace that is being deleted create says 403 NamespaceTerminating, and writes go on", function(api)
  local d = lib.desk(api)
  local made = d:once("a", { finalizers = { "konductor.io/held" } })
  api.terminate(d.namespace)
  for _, resource in ipairs { ONCES, LEASES } do
    local body = resource == ONCES and lib.once "b" or d:lease("b", { holderIdentity = "x" })
    local status = d:refused(403, "Forbidden", "create", resource, nil, body)
    equal("NamespaceTerminating", status.details.causes[1].reason, "cause")
  end
  local status = d:refused(403, "Forbidden", "update", LEASES, "b", d:lease("b", { holderIdentity = "x" }))
  equal("NamespaceTerminating", status.details.causes[1].reason, "cause of a PUT that creates")
  equal(true, rev(d:write(made, { op = "1" })) > rev(made), "a status is still written")
end)

claim("get of what is not there says 404 NotFound with its name and resource", function(api)
  local status = lib.desk(api):refused(404, "NotFound", "get", ONCES, "none")
  equal("none", status.details.name, "details.name")
  equal("onces", status.details.kind, "details.kind")
end)

claim("a resource that is not served says 404 without the name of an object", function(api)
  local answer = lib.desk(api):call("get", "twices.konductor.io", "a")
  equal(404, answer.status, "status")
  equal(false, type(answer.body) == "table" and answer.body.details ~= nil, "details")
end)

claim("a status by a stale version says 409 Conflict and changes nothing, though it be equal", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local new = d:write(made, { op = "theirs" })
  for _, op in ipairs { "mine", "theirs" } do
    local status = d:refused(409, "Conflict", "update_status", ONCES, "a", put(made, { status = { op = op } }))
    equal("a", status.details.name, "details.name")
    equal("onces", status.details.kind, "details.kind")
  end
  local now = d:get(ONCES, "a")
  equal(rev(new), rev(now), "version")
  equal("theirs", now.status.op, "op")
end)

claim("the same PUT sent twice answers 409 the second time, though it has been applied", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:write(made, { op = "s:1" })
  d:refused(409, "Conflict", "update_status", ONCES, "a", put(made, { status = { op = "s:1" } }))
  equal("s:1", d:get(ONCES, "a").status.op, "op")
end)

claim("a write answered with 504 may still land; repeated as it was, it is applied once", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local watch = api.watch {
    resource = ONCES, namespace = d.namespace,
    query = { resourceVersion = made.metadata.resourceVersion, timeoutSeconds = 60 },
  }
  local body = put(made, { status = { op = "s:1" } })
  local lost = api.unanswered {
    verb = "update_status", resource = ONCES, namespace = d.namespace, name = "a", body = body,
    query = { fieldManager = "holder" },
  }
  equal(504, lost.status, "status")
  equal("Timeout", lost.body.reason, "reason")
  equal(nil, lost.body.kind, "kind, which this Status alone does not tell")
  local again = d:call("update_status", ONCES, "a", body, { fieldManager = "holder" })
  equal(true, again.status == 200 or again.body.reason == "Conflict", "200 or 409, not " .. again.status)
  local now = d:get(ONCES, "a")
  equal("s:1", now.status.op, "op")
  equal(rev(now), rev(assert(watch.next(20000)).object), "version that is told")
  local second, why = watch.next(1000)
  equal(nil, second, "second event")
  equal("timeout", why, "the watch goes on")
  watch.close()
end)

claim("a PUT without a resourceVersion says 422 Invalid, of custom resources and of Leases", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  local bare = { resourceVersion = false }
  local of_status = d:refused(422, "Invalid", "update_status", ONCES, "a", put(made, { status = {} }, bare))
  equal("metadata.resourceVersion", of_status.details.causes[1].field, "field")
  equal("FieldValueInvalid", of_status.details.causes[1].reason, "cause")
  d:refused(422, "Invalid", "update", ONCES, "a", put(made, { spec = { ttl = "2h" } }, bare))
  d:refused(422, "Invalid", "update", LEASES, "a", d:lease("a", { holderIdentity = "y" }))
  equal("x", d:get(LEASES, "a").spec.holderIdentity, "holder")
end)

claim("a PUT with another uid says 409, though the version be right; it is looked at before the version", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local other = "00000000-0000-4000-8000-000000000000"
  for _, version in ipairs { made.metadata.resourceVersion, tostring(rev(made) - 1) } do
    local status = d:refused(409, "Conflict", "update_status", ONCES, "a",
      put(made, { status = { op = "x" } }, { uid = other, resourceVersion = version }))
    equal(true, status.message:find("UID in precondition: " .. other, 1, true) ~= nil, "the message names the uid")
  end
  equal(rev(made), rev(d:get(ONCES, "a")), "version")
end)

claim("a PUT without a uid needs only the version", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local new = d:ask(200, "update_status", ONCES, "a", put(made, { status = { op = "x" } }, { uid = false }))
  equal("x", new.status.op, "op")
end)

claim("a PUT to a deleted custom resource says 404 and does not make it again", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:delete(ONCES, "a")
  for _, uid in ipairs { made.metadata.uid, false } do
    d:refused(404, "NotFound", "update_status", ONCES, "a", put(made, { status = { op = "x" } }, { uid = uid }))
    d:refused(404, "NotFound", "update", ONCES, "a", put(made, { spec = made.spec }, { uid = uid }))
  end
  d:refused(404, "NotFound", "get", ONCES, "a")
end)

claim("a PUT to what was deleted and made again says 409, with and without a uid", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:delete(ONCES, "a")
  local again = d:once "a"
  equal(false, made.metadata.uid == again.metadata.uid, "same uid")
  equal(true, rev(again) > rev(made), "version grows across deletion")
  for _, uid in ipairs { made.metadata.uid, false } do
    d:refused(409, "Conflict", "update_status", ONCES, "a", put(made, { status = { op = "x" } }, { uid = uid }))
  end
  equal(rev(again), rev(d:get(ONCES, "a")), "version")
end)

claim("a PUT to a deleted coordination Lease makes it again without a uid, and says 409 with one", function(api)
  local d = lib.desk(api)
  local made = d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  d:delete(LEASES, "a")
  d:refused(409, "Conflict", "update", LEASES, "a", put(made, { spec = { holderIdentity = "y" } }))
  d:refused(404, "NotFound", "get", LEASES, "a")
  local again = d:ask(201, "update", LEASES, "a", put(made, { spec = { holderIdentity = "y" } }, { uid = false }))
  equal(false, made.metadata.uid == again.metadata.uid, "same uid")
  equal("y", again.spec.holderIdentity, "holder")
end)

claim("a coordination Lease is replaced as a whole and has no generation", function(api)
  local d = lib.desk(api)
  local made = d:ask(201, "create", LEASES, nil,
    d:lease("a", { holderIdentity = "x", leaseDurationSeconds = 15 }, { annotations = { k = "v" } }))
  equal(nil, made.metadata.generation, "generation")
  local new = d:ask(200, "update", LEASES, "a", put(made, { spec = { holderIdentity = "y" } }))
  equal(nil, new.spec.leaseDurationSeconds, "duration")
  equal(nil, new.metadata.annotations, "annotations")
  equal(made.metadata.creationTimestamp, new.metadata.creationTimestamp, "creation time")
end)

claim("a PUT of what is stored already answers 200 with the same version, whoever sends it", function(api)
  local d = lib.desk(api)
  local new = d:write(d:once "a", { op = "x", list = { "a", { b = 1 } } })
  api.next_second()
  for _, manager in ipairs { "holder", "queue" } do
    local same = d:write(new, { op = "x", list = { "a", { b = 1 } } }, manager)
    equal(rev(new), rev(same), "version")
    equal(#new.metadata.managedFields, #same.metadata.managedFields, "managers")
  end
  local lease = d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  equal(rev(lease), rev(d:ask(200, "update", LEASES, "a", put(lease, { spec = { holderIdentity = "x" } }))), "Lease")
end)

claim("a PUT of the status changes nothing but the status", function(api)
  local d = lib.desk(api)
  local made = d:once("a", { labels = { k = "v" } })
  local new = d:ask(200, "update_status", ONCES, "a", put(made, { status = { op = "x" }, spec = { ttl = "9h" } },
    { labels = { other = "label" }, annotations = { k = "v" }, finalizers = { "konductor.io/held" } }))
  equal("1h", new.spec.ttl, "ttl")
  equal("v", new.metadata.labels.k, "label")
  equal(nil, new.metadata.annotations, "annotations")
  equal(nil, new.metadata.finalizers, "finalizers")
  equal(1, new.metadata.generation, "generation")
end)

claim("a PUT of the object changes all but the status, and what it leaves out is gone", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once("a", { labels = { k = "v" }, annotations = { n = "1" } }), { op = "x" })
  local new = d:ask(200, "update", ONCES, "a", put(held, { spec = { ttl = "2h" }, status = { op = "y" } },
    { annotations = { n = "2" } }))
  equal("2h", new.spec.ttl, "ttl")
  equal("x", new.status.op, "op")
  equal("2", new.metadata.annotations.n, "annotation")
  equal(nil, new.metadata.labels, "labels")
  equal(held.metadata.uid, new.metadata.uid, "uid")
end)

claim("generation counts changes of the spec alone", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  local labelled = d:ask(200, "update", ONCES, "a", put(made, { spec = made.spec }, { labels = { k = "v" } }))
  equal(1, labelled.metadata.generation, "after a label")
  local held = d:write(labelled, { op = "x" })
  equal(1, held.metadata.generation, "after a status")
  local new = d:ask(200, "update", ONCES, "a", put(held, { spec = { ttl = "2h" } }))
  equal(2, new.metadata.generation, "after a change of the spec")
end)

claim("a PUT without a status leaves the default", function(api)
  local d = lib.desk(api)
  local held = d:write(d:once "a", { op = "x" })
  local new = d:ask(200, "update_status", ONCES, "a", put(held, {}))
  equal(nil, new.status.op, "op")
  equal("Pending", new.status.phase, "phase")
end)

claim("defaults of single fields are filled in when they are left out", function(api)
  local d = lib.desk(api)
  local made = d:ask(201, "create", "leases.konductor.io", nil,
    { apiVersion = "konductor.io/v1", kind = "Lease", metadata = { name = "a" }, spec = { ttl = "15s" } })
  equal(true, made.spec.renewable, "renewable")
  local new = d:ask(200, "update_status", "leases.konductor.io", "a", put(made, { status = { op = "x" } }))
  equal("Available", new.status.phase, "phase")
end)

claim("a record of a kind without defaults has no status at first", function(api)
  local d = lib.desk(api)
  local made = d:ask(201, "create", lib.RECORDS, nil, {
    apiVersion = "konductor.io/v1", kind = "Record", metadata = { name = "gate.a" },
    spec = { kind = "Gate", data = { width = 1 } }, status = { op = "x" },
  })
  equal(nil, made.status, "status")
  local new = d:ask(200, "update_status", lib.RECORDS, "gate.a", put(made, { status = { op = "x", of = { a = 1 } } }))
  equal(1, new.status.of.a, "status")
end)

claim("versions grow with every write, of whatever resource", function(api)
  local d = lib.desk(api)
  local first = d:once "a"
  local second = d:ask(201, "create", LEASES, nil, d:lease("a", { holderIdentity = "x" }))
  local third = d:write(first, { op = "x" })
  equal(true, rev(first) < rev(second) and rev(second) < rev(third), "growing")
end)

claim("a PUT whose body names another object or namespace says 400", function(api)
  local d = lib.desk(api)
  local made = d:once "a"
  d:refused(400, "BadRequest", "update_status", ONCES, "a", put(made, { status = {} }, { name = "b" }))
  d:refused(400, "BadRequest", "update_status", ONCES, "a", put(made, { status = {} }, { namespace = "other" }))
end)

return claims
