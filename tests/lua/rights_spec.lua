--- The least rights of a script, and what is said when one is missing.

local preflight = require "konductor.kube.preflight"
local rights = require "konductor.kube.rights"

local function program(over)
  local made = { items = {}, leases = {}, uses = {}, steps = {} }
  for key, value in pairs(over) do
    made[key] = value
  end
  return made
end

local function stage(name, over)
  local made = { name = name, object = "shop." .. name, argv = { "x" } }
  for key, value in pairs(over or {}) do
    made[key] = value
  end
  return made
end

local SHOP = program {
  items = {
    { type = "flow", name = "shop", flow = { stages = { stage "migrate", stage("warm", { ttl = 3600000 }) } } },
  },
  leases = { { name = "leader", main = { argv = { "x" } } } },
}

-- Rules as lines: "group resources verbs names".
local function summary(rules)
  local out = {}
  for i, rule in ipairs(rules) do
    out[i] = ("%s %s %s %s"):format(rule.apiGroups[1], table.concat(rule.resources, ","), table.concat(rule.verbs, ","),
      table.concat(rule.resourceNames or { "any" }, ","))
  end
  return out
end

describe("the rights of a script", function()
  it("are bound to the names of its objects, but for the creation", function()
    assert.same({
      "konductor.io onces get,list,watch shop.migrate,shop.warm",
      "konductor.io onces/status update shop.migrate,shop.warm",
      "konductor.io onces delete shop.warm",
      "konductor.io leases get,list,watch leader",
      "konductor.io leases/status update leader",
      "konductor.io onces,leases create any",
    }, summary((rights.rules(rights.objects(SHOP), { store = "kube" }))))
  end)

  it("are on coordination Leases alone with that store", function()
    assert.same({
      "coordination.k8s.io leases get,list,watch,update once.shop.migrate,once.shop.warm,leader",
      "coordination.k8s.io leases delete once.shop.warm",
      "coordination.k8s.io leases create any",
    }, summary((rights.rules(rights.objects(SHOP), { store = "kube-lease" }))))
  end)

  it("contain no creation when the objects are made beforehand", function()
    for _, store in ipairs { "kube", "kube-lease" } do
      for _, line in ipairs(summary((rights.rules(rights.objects(SHOP), { store = store, create = false })))) do
        assert.is_nil(line:find("create", 1, true))
      end
    end
  end)

  it("contain the creation of events when asked for", function()
    local rules = rights.rules(rights.objects(SHOP), { store = "kube", events = true })
    assert.equal("events.k8s.io events create any", summary(rules)[#rules])
  end)

  it("are to read alone where the script only waits", function()
    local waits = { kind = "Once", name = "other.migrate", watches = true }
    local over = { items = SHOP.items, uses = { ["Once/other.migrate"] = waits } }
    assert.same({
      "konductor.io onces get,list,watch shop.migrate,shop.warm,other.migrate",
      "konductor.io onces/status update shop.migrate,shop.warm",
      "konductor.io onces delete shop.warm",
      "konductor.io onces create any",
    }, summary((rights.rules(rights.objects(program(over)), { store = "kube" }))))
    assert.same({
      "coordination.k8s.io leases get,list,watch,update once.shop.migrate,once.shop.warm",
      "coordination.k8s.io leases get,list,watch once.other.migrate",
      "coordination.k8s.io leases delete once.shop.warm",
      "coordination.k8s.io leases create any",
    }, summary((rights.rules(rights.objects(program(over)), { store = "kube-lease" }))))
    local alone = rights.objects(program { uses = over.uses })
    assert.same({ "konductor.io onces get,list,watch other.migrate" },
      summary((rights.rules(alone, { store = "kube" }))))
    waits.runs = true
    assert.equal(3, #rights.rules(rights.objects(program { uses = over.uses }), { store = "kube" }))
  end)

  it("are on pods, all of the namespace, only where a lease labels them, and then they count", function()
    local labelled = { name = "x", main = {}, pod_label = { key = "a", value = "b" } }
    local objects = rights.objects(program { leases = { labelled } })
    local rules = rights.rules(objects, { store = "kube" })
    assert.equal(" pods list,patch any", summary(rules)[4])
    local all_but = { resourceRules = {
      { verbs = { "*" }, apiGroups = { "konductor.io" }, resources = { "*" } },
      { verbs = { "list" }, apiGroups = { "" }, resources = { "pods" } },
    } }
    assert.same({ { verb = "patch", group = "", resource = "pods" } }, rights.missing(rules, all_but))
    all_but.resourceRules[2].verbs = { "list", "patch" }
    assert.same({}, rights.missing(rules, all_but))
  end)

  it("never contain patch, pods, secrets or a star", function()
    for _, store in ipairs { "kube", "kube-lease" } do
      for _, line in ipairs(summary((rights.rules(rights.objects(SHOP), { store = store, events = true })))) do
        for _, word in ipairs { "patch", "pods", "secrets", "*" } do
          assert.is_nil(line:find(word, 1, true))
        end
      end
    end
  end)

  it("are none for a script that uses no store", function()
    assert.same({}, (rights.rules(rights.objects(program {}), { store = "kube", create = true })))
  end)

  it("of a policy of one's own are on records named by kind and name", function()
    local used = program { uses = { ["Semaphore/db"] = { kind = "Semaphore", name = "db" } } }
    assert.same({
      "konductor.io records get,list,watch semaphore.db", "konductor.io records/status update semaphore.db",
      "konductor.io records create any",
    }, summary((rights.rules(rights.objects(used), { store = "kube" }))))
    assert.equal("semaphore.db", rights.rules(rights.objects(used), { store = "kube-lease" })[1].resourceNames[1])
  end)

  it("name an object once, however often the script does, and collect it if one use asks for that", function()
    local used = program {
      items = { { type = "once", name = "seed", object = "seed", argv = { "x" } } },
      uses = { ["Once/seed"] = { kind = "Once", name = "seed", ttl = 1000 } },
    }
    assert.same({ { kind = "Once", name = "seed", deletes = true } }, (rights.objects(used)))
  end)

  it("come with a note about each function, whose objects cannot be known", function()
    local _, notes = rights.objects(program {
      items = {
        { type = "once", name = "seed", object = "seed", fn = print },
        { type = "flow", name = "f", flow = { stages = { stage("warm", { fn = print }) } } },
      },
      leases = { { name = "boss", main = { fn = print } } },
      steps = { { what = "k.store.get", place = "init.lua:3" }, { what = "k.exec", place = "init.lua:4" } },
    })
    assert.equal(4, #notes)
    assert.is_truthy(notes[1]:find('once "seed" is a function', 1, true))
    assert.is_truthy(notes[2]:find('stage "warm" is a function', 1, true))
    assert.is_truthy(notes[3]:find('the main of lease "boss" is a function', 1, true))
    assert.is_truthy(notes[4]:find("init.lua:3: k.store.get", 1, true))
  end)

  it("come with a note about a name that the store has to shorten", function()
    local long = { { kind = "Once", name = ("x"):rep(250), deletes = false } }
    local rules, notes = rights.rules(long, { store = "kube-lease" })
    assert.same({ {}, 1 }, { rules, #notes })
    rules, notes = rights.rules(long, { store = "kube" })
    assert.same({ 3, 0 }, { #rules, #notes })
  end)
end)

describe("a comparison with the rights that somebody has", function()
  local function missing(rules, incomplete, create)
    local options = { store = "kube", events = true, create = create or false }
    local need = rights.rules({ { kind = "Once", name = "a" } }, options)
    local words = {}
    for i, each in ipairs(rights.missing(need, { resourceRules = rules, incomplete = incomplete })) do
      words[i] = ("%s %s %s"):format(each.verb, each.resource, each.name)
    end
    return words
  end

  local function rule(verbs, resources, names, groups)
    return { verbs = verbs, apiGroups = groups or { "konductor.io" }, resources = resources, resourceNames = names }
  end

  it("misses nothing when all are there, bound to the name or to none", function()
    for _, names in ipairs { { "a" }, { "b", "a" }, {}, false } do
      assert.same({}, missing {
        rule({ "get", "list", "watch" }, { "onces" }, names or nil),
        rule({ "update" }, { "onces/status" }, names or nil),
      })
    end
  end)

  it("understands stars", function()
    assert.same({}, missing { rule({ "*" }, { "*" }, nil, { "*" }) })
    assert.same({}, missing { rule({ "*" }, { "onces", "*/status" }) })
    assert.same({ "update onces/status a" }, missing { rule({ "*" }, { "onces", "*/scale" }) })
  end)

  it("does not take a star for every name", function()
    assert.equal(4, #missing { rule({ "*" }, { "*" }, { "*" }) })
  end)

  it("misses what is of another name, group, resource or verb", function()
    local all = { "get onces a", "list onces a", "watch onces a", "update onces/status a" }
    assert.same(all, missing {})
    assert.same(all, missing { rule({ "*" }, { "*" }, { "b" }) })
    assert.same(all, missing { rule({ "*" }, { "*" }, nil, { "" }) })
    assert.same(all, missing { rule({ "*" }, { "leases" }) })
    assert.same(all, missing { rule({ "create", "delete" }, { "*" }) })
    assert.same({ "update onces/status a" }, missing { rule({ "*" }, { "onces" }) })
  end)

  it("joins what several rules give", function()
    assert.same({ "watch onces a" }, missing {
      rule({ "get" }, { "onces" }), rule({ "list" }, { "onces" }, { "a" }), rule({ "update" }, { "onces/status" }),
    })
  end)

  it("proves nothing when the answer is not complete", function()
    assert.same({}, missing({}, true))
  end)

  it("misses the creation of objects only beside another right, because they may be there", function()
    local function beside(verbs)
      return missing({ rule(verbs, { "onces" }), rule({ "update" }, { "onces/status" }) }, false, true)
    end
    assert.same({ "watch onces a", "create onces nil" }, beside { "get", "list" })
    assert.same({ "watch onces a" }, beside { "get", "list", "create" })
    assert.same({}, beside { "get", "list", "watch" })
  end)
end)

describe("a missing right", function()
  local OBJECTS = { { kind = "Once", name = "a", deletes = true } }
  local READ = { verbs = { "get", "list", "watch" }, apiGroups = { "konductor.io" }, resources = { "onces" } }
  --- A world whose clock moves only by waiting.
  local function waiting()
    local world = { ms = 0 }
    function world.now() return world.ms end
    function world.log(_, text) world.said = (world.said or "") .. text end
    function world.sleep(ms)
      world.ms = world.ms + ms
      return not world.stopped
    end
    return world
  end
  local function ask(answer)
    local asked
    local refusal, lines = preflight.check(waiting(), function(given)
      asked = given
      return answer
    end, OBJECTS, "kube", "shop")
    return refusal, lines, asked
  end
  local function reviewed(rules, incomplete)
    return { status = 201, body = { status = { incomplete = incomplete or false, resourceRules = rules } } }
  end

  it("is named, with the rules of a Role that grant it", function()
    local refusal, lines = ask(reviewed { READ })
    assert.equal('rights are missing in namespace shop: update onces/status "a", delete onces "a", create onces '
      .. "(where an object is not there yet); rules of a Role that grant them:", refusal)
    assert.same({
      "- {apiGroups: [konductor.io], resources: [onces/status], resourceNames: [a], verbs: [update]}",
      "- {apiGroups: [konductor.io], resources: [onces], resourceNames: [a], verbs: [delete]}",
      "- {apiGroups: [konductor.io], resources: [onces], verbs: [create]}",
    }, lines)
  end)

  it("is asked for by one review of the namespace", function()
    local _, _, asked = ask(reviewed {})
    assert.equal("POST", asked.method)
    assert.equal("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", asked.path)
    assert.same({ namespace = "shop" }, asked.body.spec)
  end)

  it("is not assumed when the server gives no answer, another one, or not a complete one", function()
    for _, answer in ipairs { false, { status = 403, body = { kind = "Status", status = "Failure" } },
      { status = 502, body = "<html>" }, reviewed({}, true) } do
      assert.is_nil((ask(answer or nil)))
    end
  end)

  it("is not asked for when the script uses no store, or one of another kind", function()
    assert.is_nil(preflight.check(waiting(), function() error "asked" end, {}, "kube", "shop"))
    assert.is_nil(preflight.refuse(SHOP, { kind = "sqlite" }, waiting(), function() error "asked" end))
  end)

  it("ends the process with the code for denied", function()
    local refusal = preflight.refuse(SHOP, { kind = "kube", namespace = "shop" }, waiting(), function()
      return reviewed { READ }
    end)
    assert.equal("denied", refusal.code)
    assert.equal(6, #refusal.lines)
  end)

  local WRITE = { verbs = { "*" }, apiGroups = { "*" }, resources = { "*" } }
  local FORBIDDEN = { status = 403, body = { kind = "Status", status = "Failure" } }

  --- Answers reviews and questions after readiness, each with the next of its list, and with the last for ever.
  local function ask_in_turn(reviews, readiness, world)
    local asked = ""
    local lists = { POST = reviews, GET = readiness }
    local refusal = preflight.check(world, function(given)
      asked = asked .. (given.method == "GET" and "?" or "R")
      local list = lists[given.method]
      return (#list > 1 and table.remove(list, 1) or list[1]) or nil
    end, OBJECTS, "kube", "shop")
    return asked, refusal
  end

  it("is asked for again while the server is starting, and once more when it is ready", function()
    for _, before in ipairs { FORBIDDEN, reviewed { READ } } do
      local world = waiting()
      local readiness = { { status = 500 }, { status = 200 } }
      local asked, refusal = ask_in_turn({ before, before, reviewed { WRITE } }, readiness, world)
      assert.same({ "R?R?R" }, { asked, refusal })
      assert.equal(250, world.ms)
      assert.matches("is starting", world.said)
    end
  end)

  it("is told by a server that is ready without a wait", function()
    local world = waiting()
    local asked, refusal = ask_in_turn({ reviewed { READ } }, { { status = 200 } }, world)
    assert.equal("R?R", asked)
    assert.matches("rights are missing", refusal)
    assert.same({ 0 }, { world.ms, world.said })
  end)

  it("is told in the end by a server that never gets ready, or that does not answer", function()
    for _, readiness in ipairs { { { status = 500 } }, { false } } do
      local world = waiting()
      local _, refusal = ask_in_turn({ reviewed { READ } }, readiness, world)
      assert.matches("rights are missing", refusal)
      assert.equal(10000, world.ms)
    end
  end)

  it("is told at once when the process is asked to stop meanwhile", function()
    local world = waiting()
    world.stopped = true
    local asked, refusal = ask_in_turn({ reviewed { READ } }, { { status = 500 } }, world)
    assert.equal("R?", asked)
    assert.matches("rights are missing", refusal)
  end)

  it("is not assumed when reviews are refused by a server that is ready", function()
    local asked, refusal = ask_in_turn({ FORBIDDEN }, { { status = 200 } }, waiting())
    assert.same({ "R?R" }, { asked, refusal })
  end)

  it("in a refusal of the server is explained by the rule that grants it", function()
    local sentence = 'a right is missing: onces.konductor.io "a" is forbidden: User "system:serviceaccount:shop:x" '
      .. 'cannot get resource "onces" in API group "konductor.io" in the namespace "shop"'
    assert.equal(sentence .. "; a rule of a Role that grants it: "
      .. "- {apiGroups: [konductor.io], resources: [onces], resourceNames: [a], verbs: [get]}",
      preflight.explain(sentence))
  end)

  it("to create or on a subresource is explained too", function()
    local create = rights.refused('onces.konductor.io is forbidden: User "u" cannot create resource "onces" in API '
      .. 'group "konductor.io" in the namespace "shop"')
    assert.same({ verb = "create", group = "konductor.io", resource = "onces" }, create)
    local update = rights.refused('leases.konductor.io "x" is forbidden: User "u" cannot update resource '
      .. '"leases/status" in API group "konductor.io" in the namespace "shop"')
    assert.same({ verb = "update", group = "konductor.io", resource = "leases/status", name = "x" }, update)
  end)

  it("is not seen in other sentences", function()
    assert.is_nil(rights.refused "the server is on fire")
    assert.equal("the server is on fire", preflight.explain "the server is on fire")
  end)
end)
