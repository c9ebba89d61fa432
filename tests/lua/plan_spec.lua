local flow = require "konductor.flow"
local plan = require "konductor.plan"

local function shop_flow()
  return assert(flow.define("shop", {
    { name = "migrate", run = { "flyway", "migrate" }, version = "1.4", timeout = 600000, retries = 3 },
    { name = "seed", after = "migrate", run = function() end, version = "1.4" },
    { name = "warm", after = "migrate", run = { "sh", "-c", "warm 'em" }, ttl = 86400000 },
    { name = "index", after = { "seed", "warm" }, run = { "reindex" } },
    { name = "alone", run = { "touch", "x" } },
  }, { argv = { "gunicorn", "shop.wsgi" } }))
end

local function shop_plan(states)
  return {
    name = "shop.lua", items = { { type = "flow", name = "shop", flow = shop_flow() } }, leases = {}, states = states,
  }
end

local function rich_plan()
  local rich = shop_plan {
    ["Once/shop.migrate"] = { state = "done", by = "pod-a", at = "2026-01-01T00:00:00Z" },
    ["Once/shop.seed"] = { state = "failed", attempts = 4, error = 'exit "2" <&> \\n' },
    ["Once/shop.warm"] = { state = "held", by = "pod-b", attempts = 1 },
    ["Once/shop.alone"] = { state = "doubt" },
    ["Lease/boss"] = { state = "held", by = "pod-b", waiting = 3 },
    ["Once/broken"] = { state = "corrupt", error = "status.fence is a table" },
  }
  rich.items[2] = { type = "once", name = "broken", run = { "fix", "it" } }
  rich.leases[1] = { name = "boss", ttl = 15000, priority = 10, preempt = true, main = { argv = { "worker" } },
    pod_label = { key = "role", value = "boss" } }
  rich.steps = { { what = "k.exec", place = "shop.lua:9" } }
  return rich
end

--- The lines of the text, without the indentation.
local function has_line(text, wanted)
  for line in text:gmatch("[^\n]+") do
    if line:match("^%s*(.-)%s*$") == wanted then
      return true
    end
  end
  return false
end

describe("once_state", function()
  local function once(status, spec)
    return { kind = "Once", name = "db", uid = "u", rev = 7, created = "2026-01-01T00:00:00Z", age_ms = 5,
      spec = spec or {}, status = status }
  end

  it("calls an absent or untouched record free", function()
    assert.same({ state = "free" }, plan.once_state(nil, "v1"))
    assert.equal("free", plan.once_state(once {}, "v1").state)
  end)

  it("is kept for as long as its spec says", function()
    assert.is_nil(plan.kept(nil))
    assert.is_nil(plan.kept(once({ fence = "x" }, {})))
    assert.is_false(plan.kept(once {}))
    assert.equal(3600000, plan.kept(once({}, { ttl = "1h" })))
  end)

  it("finds the executed version, and the others in the history", function()
    local rec = once { executed = true, executor = "pod-b", executedAt = "T2", phase = "Executed", version = "v2",
      history = { { version = "v1", executor = "pod-a", executedAt = "T1" } } }
    assert.same({ state = "done", by = "pod-b", at = "T2" }, plan.once_state(rec, "v2"))
    assert.same({ state = "done", by = "pod-a", at = "T1" }, plan.once_state(rec, "v1"))
    assert.equal("free", plan.once_state(rec, "v3").state)
  end)

  it("takes the version of the spec where the script names none", function()
    local rec = once({ executed = true, executor = "a", phase = "Executed", version = "v9" }, { version = "v9" })
    assert.equal("done", plan.once_state(rec, nil).state)
  end)

  local claimed = { executor = "pod-a", session = ("a"):rep(32), bound = "process", fence = 4, ttlMs = 15000,
    op = ("a"):rep(32) .. ":1", version = "v1", attempts = 2, phase = "Pending" }

  it("names the holder of a claim, for another version too", function()
    assert.same({ state = "held", by = "pod-a", attempts = 2 }, plan.once_state(once(claimed), "v1"))
    assert.same({ state = "held", by = "pod-a" }, plan.once_state(once(claimed), "v2"))
  end)

  it("tells an attempt that failed from one that failed for good", function()
    local rec = once { version = "v1", attempts = 2, lastError = "exit code 3", phase = "Pending" }
    assert.same({ state = "free", attempts = 2, error = "exit code 3" }, plan.once_state(rec, "v1", 3))
    assert.same({ state = "failed", attempts = 2, error = "exit code 3" }, plan.once_state(rec, "v1", 2))
    rec.spec.maxAttempts = 2
    assert.equal("failed", plan.once_state(rec, "v1").state)
  end)

  it("says what is wrong with a record that it cannot read", function()
    local state = plan.once_state(once { attempts = "many" }, "v1")
    assert.equal("corrupt", state.state)
    assert.truthy(state.error:find("attempts", 1, true))
  end)
end)

describe("lease_state", function()
  local function lease(status)
    return { kind = "Lease", name = "boss", uid = "u", rev = 7, created = "T", age_ms = 5, spec = { ttl = "15s" },
      status = status }
  end

  it("calls an absent or released Lease free", function()
    assert.same({ state = "free" }, plan.lease_state(nil))
    assert.same({ state = "free", waiting = 0 }, plan.lease_state(lease { holder = "", phase = "Available" }))
  end)

  it("names the holder and counts the queue", function()
    local session = ("b"):rep(32)
    assert.same({ state = "held", by = "pod-b", waiting = 1 }, plan.lease_state(lease {
      holder = "pod-b", session = session, bound = "process", fence = 3, ttlMs = 15000, op = session .. ":1",
      accepted = true, phase = "Held", waiters = { { id = "pod-c", session = ("c"):rep(32), prio = 0 } },
    }))
  end)

  it("says what is wrong with a record that it cannot read", function()
    assert.equal("corrupt", plan.lease_state(lease { fence = "x" }).state)
  end)
end)

describe("text", function()
  it("prints the stages in order with what they run, wait for and are called in the store", function()
    assert.equal([[
shop.lua

flow shop
   -  migrate
        runs     flyway migrate
        options  version 1.4, timeout 10m, 3 retries
        object   Once/shop.migrate
   -  seed
        runs     a Lua function
        after    migrate
        options  version 1.4
        object   Once/shop.seed
   -  warm
        runs     sh -c 'warm '\''em'
        after    migrate
        options  record kept 24h
        object   Once/shop.warm
   -  index
        runs     reindex
        after    seed, warm
        object   Once/shop.index
   -  alone
        runs     touch x
        object   Once/shop.alone
    > main
        runs     gunicorn shop.wsgi
]], plan.render(shop_plan(), "text"))
  end)

  it("tells how long the record is kept by what its object says, where there is one", function()
    local function options(kept, name)
      local states = { ["Once/shop." .. name] = { state = "free", kept = kept } }
      return plan.render(shop_plan(states), "text"):match(name .. "  .-options  ([^\n]*)\n")
    end
    assert.equal("record kept 24h", options(nil, "warm"))
    assert.equal("record kept 24h", options(86400000, "warm"))
    assert.equal("record kept 4s, as its object says", options(4000, "warm"))
    assert.equal("record kept for ever, as its object says", options(false, "warm"))
    assert.equal("version 1.4", options(false, "seed"))
    assert.equal("version 1.4, record kept 4s, as its object says", options(4000, "seed"))
  end)

  it("tells what is done, who holds what, and what is left", function()
    local text = plan.render(rich_plan(), "text")
    for _, line in ipairs {
      "flow shop: 1 of 5 stages done",
      "[x] migrate  (done by pod-a, 2026-01-01T00:00:00Z)",
      '[!] seed  (failed for good, 4 attempts: exit "2" <&> \\n)',
      "[>] warm  (held by pod-b, 1 attempt)",
      "next     when mended: koncli once reset shop.seed",
      '[-] index  (cannot run: it waits for "seed")',
      "[?] alone  (in doubt: it may or may not have run)",
      "next     look, then say which: koncli once resolve shop.alone --ran or --not-run",
      "[!] broken  (unreadable: status.fence is a table)",
      "[>] boss  (held by pod-b, 3 waiting)",
      "options  ttl 15s, priority 10, higher priority preempts, its Pod has the label role=boss",
      "- k.exec  (shop.lua:9)",
    } do
      assert.is_true(has_line(text, line), line .. "\nis missing in\n" .. text)
    end
  end)

  it("keeps what strangers wrote on its line, and from the terminal", function()
    local states = { ["Once/shop.warm"] = { state = "held", by = "a\27[2J\n[x] all  (done)" } }
    local text = plan.render(shop_plan(states), "text")
    assert.is_true(has_line(text, "[>] warm  (held by a\\x1b[2J\\x0a[x] all  (done))"))
  end)

  it("calls everything left in a store that holds nothing", function()
    local text = plan.render(shop_plan {}, "text")
    assert.is_true(has_line(text, "flow shop: 0 of 5 stages done"))
    assert.is_true(has_line(text, "[ ] migrate  (to do)"))
  end)

  it("shortens a long command, and never in the middle of a character", function()
    local long = shop_plan()
    long.items[1].flow.by_name.migrate.run = { ("é"):rep(300) }
    local command = plan.render(long, "text"):match("runs     ([^\n]*)")
    assert.is_true(#command <= 60)
    assert.equal("...", command:sub(-3))
    assert.equal("", (command:sub(1, -4):gsub("é", "")))
  end)

  it("prints control characters of a command as question marks", function()
    local odd = shop_plan()
    odd.items[1].flow.by_name.migrate.run = { "a\27[31mb" }
    assert.is_nil(plan.render(odd, "text"):find("\27", 1, true))
  end)

  it("shows the command behind the double dash as what runs last", function()
    local bare = { name = "x.lua", items = {}, leases = {}, main = { type = "command", work = { argv = { "nginx" } } } }
    assert.is_true(has_line(plan.render(bare, "text"), "runs     nginx"))
  end)

  it("has what a lease means in line with its options", function()
    local bare = { name = "x.lua", items = {}, leases = { { name = "boss", ttl = 15000 } } }
    local text = plan.render(bare, "text")
    assert.is_truthy(text:find("\n        one leads, the others stand by\n        options  ttl 15s\n", 1, true))
  end)

  it("shows a function as what a lease's leader runs", function()
    local bare = { name = "x.lua", items = {}, leases = { { name = "boss", main = { run = print } } } }
    assert.is_true(has_line(plan.render(bare, "text"), "runs     a Lua function"))
  end)
end)

--- Runs a program on a text and gives what it printed, or nil when it failed.
local function pipe(command, input)
  local path = os.tmpname()
  local file = assert(io.open(path, "w"))
  file:write(input)
  file:close()
  local process = assert(io.popen(("%s < %s 2>&1 && echo fine"):format(command, path)))
  local output = process:read("*a")
  process:close()
  os.remove(path)
  return output:match("^(.*)fine\n$"), output
end

describe("dot", function()
  for name, make in pairs { plain = shop_plan, rich = rich_plan } do
    it("is accepted by Graphviz: " .. name, function()
      local drawn, said = pipe("dot -Tplain", plan.render(make(), "dot"))
      assert.is_truthy(drawn, said)
      assert.is_nil(drawn:find("Warning", 1, true))
      local _, edges = drawn:gsub("\nedge ", "")
      assert.equal(name == "rich" and 7 or 6, edges)
    end)
  end

  it("has an arrow from each stage to what waits for it, and from the last ones to main", function()
    local dot = plan.render(shop_plan(), "dot")
    for _, arrow in ipairs { "n1 -> n2", "n1 -> n3", "n2 -> n4", "n3 -> n4", "n4 -> n6", "n5 -> n6" } do
      assert.truthy(dot:find(arrow .. ";", 1, true), arrow)
    end
  end)
end)

describe("mermaid", function()
  it("has a box for each stage, an arrow for each dependency and a class for each state", function()
    local mermaid = plan.render(rich_plan(), "mermaid")
    for _, line in ipairs {
      "flowchart LR", 'subgraph g1["flow shop"]', "n1 --> n2", "n3 --> n4", "class n1 done", "class n4 blocked",
      "classDef done fill:#dafbe1,stroke:#1a7f37,color:#1f2328",
      'n6(["main<br/>gunicorn shop.wsgi"])',
    } do
      assert.is_true(has_line(mermaid, line), line .. "\nis missing in\n" .. mermaid)
    end
  end)

  it("escapes what its grammar would read as its own", function()
    local mermaid = plan.render(rich_plan(), "mermaid")
    assert.truthy(mermaid:find("exit #quot;2#quot; #lt;#amp;#gt;", 1, true))
  end)
end)

--- Checks that every tag of an XML text is closed in order, and that text needs no escape.
local function assert_well_formed(xml)
  local open = {}
  local rest = xml:gsub("<(/?)([%w]+)([^<>]*)>", function(slash, name, attributes)
    local left = attributes:gsub('%s+[%w:-]+="[^"<]*"', "")
    if slash == "/" then
      assert.equal(table.remove(open), name)
    elseif left == "" then
      open[#open + 1] = name
    else
      assert.equal("/", left)
    end
    return ""
  end)
  assert.same({}, open)
  assert.is_nil(rest:find("[<>]"))
  for entity in rest:gmatch("&(%w*;?)") do
    assert.truthy(({ ["amp;"] = 1, ["lt;"] = 1, ["gt;"] = 1, ["quot;"] = 1 })[entity], entity)
  end
end

local function rectangles(xml)
  local list = {}
  for class, x, y, width, height in xml:gmatch('<g class="(%w+)"><rect x="([%d.-]+)" y="([%d.-]+)" width="([%d.]+)" '
      .. 'height="([%d.]+)"') do
    list[#list + 1] = { class = class, x = tonumber(x), y = tonumber(y), w = tonumber(width), h = tonumber(height) }
  end
  return list
end

describe("svg", function()
  it("is well-formed whatever the texts contain", function()
    assert_well_formed(plan.render(rich_plan(), "svg"))
    assert_well_formed(plan.render(shop_plan(), "svg"))
    assert_well_formed(plan.render({ name = "a<b>&\"c\"\0.lua", items = {}, leases = {} }, "svg"))
  end)

  it("gives each box the colour class of its state", function()
    local classes = {}
    for i, box in ipairs(rectangles(plan.render(rich_plan(), "svg"))) do
      classes[i] = box.class
    end
    table.sort(classes)
    assert.equal("blocked done doubt failed failed held held main main", table.concat(classes, " "))
  end)

  it("refers to nothing outside itself", function()
    local xml = plan.render(rich_plan(), "svg"):gsub("http://www.w3.org/2000/svg", "")
    assert.is_nil(xml:find("://", 1, true))
    assert.is_nil(xml:find("href", 1, true))
  end)

  --- A flow whose stages wait for stages before them, chosen by a fixed sequence of numbers.
  local function woven(count, seed)
    local stages = {}
    for i = 1, count do
      local after, seen = {}, {}
      for _ = 1, 2 do
        seed = (seed * 1103515245 + 12345) % 2147483648
        local target = i - 1 - math.floor(seed / 65536) % 6
        if target >= 1 and not seen[target] then
          seen[target] = true
          after[#after + 1] = "s" .. target
        end
      end
      stages[i] = { name = "s" .. i, after = #after > 0 and after or nil, run = { ("x"):rep(1 + i % 20) } }
    end
    local woven_flow = assert(flow.define("w", stages, { argv = { "main" } }))
    return { name = "w.lua", leases = {}, items = { { type = "flow", name = "w", flow = woven_flow } } }
  end

  it("draws no box over another and none outside the page", function()
    for seed = 1, 40 do
      local xml = plan.render(woven(30, seed), "svg")
      local width, height = xml:match('viewBox="0 0 (%d+) (%d+)"')
      local boxes = rectangles(xml)
      assert.equal(31, #boxes)
      for i, a in ipairs(boxes) do
        assert.is_true(a.x >= 0 and a.y >= 0 and a.x + a.w <= tonumber(width) and a.y + a.h <= tonumber(height))
        for j = i + 1, #boxes do
          local b = boxes[j]
          local apart = a.x + a.w <= b.x or b.x + b.w <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y
          assert.is_true(apart, ("seed %d: boxes %d and %d overlap"):format(seed, i, j))
        end
      end
    end
  end)

  it("leads every arrow to the right", function()
    for seed = 1, 40 do
      local arrows = 0
      for path in plan.render(woven(30, seed), "svg"):gmatch('class="arrow" d="([^"]+)"') do
        local from = tonumber(path:match("^M([%d.]+)"))
        local to = tonumber(path:match("([%d.]+) [%d.-]+$"))
        assert.is_true(from < to)
        arrows = arrows + 1
      end
      assert.is_true(arrows > 30)
    end
  end)

  it("draws the same plan the same way", function()
    assert.equal(plan.render(woven(30, 7), "svg"), plan.render(woven(30, 7), "svg"))
  end)
end)
