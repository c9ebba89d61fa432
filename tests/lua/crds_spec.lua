--- The schemas against what the policies write, and the file in deploy/ against its source.

package.path = "tests/lua/?.lua;" .. package.path
local crds = require "konductor.kube.crds"
local walk = require "lib.walk"
local yaml = require "konductor.kube.yaml"

local function schema_of(kind)
  for _, definition in ipairs(crds.all()) do
    if definition.spec.names.kind == kind then
      return definition.spec.versions[1].schema.openAPIV3Schema
    end
  end
end

local function type_of(value)
  if type(value) == "table" then
    return value[1] ~= nil and "array" or "object"
  elseif type(value) == "number" then
    return value == math.floor(value) and "integer" or "number"
  end
  return type(value)
end

-- What is wrong with a value by a schema, as a sentence; nil when nothing is.
local check

local function check_table(value, schema, path)
  for _, key in ipairs(schema.required or {}) do
    if value[key] == nil then
      return ("%s lacks %s"):format(path, key)
    end
  end
  if schema.maxItems and #value > schema.maxItems then
    return ("%s has %d items"):format(path, #value)
  end
  for key, each in pairs(value) do
    local sub = schema.items or (schema.properties or {})[key]
    local wrong = sub and check(each, sub, path .. "." .. key) or not sub and ("%s.%s has no schema"):format(path, key)
    if wrong then
      return wrong
    end
  end
end

function check(value, schema, path)
  if type_of(value) ~= schema.type then
    return ("%s is %s, not %s"):format(path, type_of(value), schema.type)
  elseif schema.maxLength and #value > schema.maxLength then
    return ("%s is %d bytes long"):format(path, #value)
  elseif schema.minimum and (value < schema.minimum or value > schema.maximum) then
    return ("%s is %s"):format(path, value)
  elseif schema.enum and not (" " .. table.concat(schema.enum, " ") .. " "):find(" " .. value .. " ", 1, true) then
    return ("%s is %s"):format(path, value)
  elseif type(value) == "table" then
    return check_table(value, schema, path)
  end
end

local function each_field(schema, path, take)
  take(schema, path)
  for key, sub in pairs(schema.properties or {}) do
    each_field(sub, path .. "." .. key, take)
  end
  if schema.items then
    each_field(schema.items, path .. "[]", take)
  end
end

describe("the schemas", function()
  it("have every field that a policy writes, with its type and limits", function()
    local schema, seen = nil, {}
    for seed = 1, 40 do
      walk.all(seed, 100, function(kind, spec)
        schema = schema_of(kind)
        assert.is_nil(check(spec, schema.properties.spec, kind .. ".spec"))
      end, function(step, status)
        seen[step] = true
        assert.is_nil(check(status, schema.properties.status, step))
      end)
    end
    for _, kind in ipairs { "Lease", "Once" } do
      for _, step in ipairs(walk.steps(kind)) do
        assert.is_true(seen[step], step .. " was never reached")
      end
    end
  end)

  it("are told which generation of a spec was seen by every write but those of the queue", function()
    local queue = { join = true, leave = true, request_preempt = true, withdraw = true }
    local seen
    walk.all(3, 200, function() seen = nil end, function(step, status)
      assert.is_true(status.observedGeneration == 1 or queue[step] and status.observedGeneration == seen, step)
      seen = status.observedGeneration
    end)
  end)

  it("describe every field", function()
    for _, definition in ipairs(crds.all()) do
      each_field(schema_of(definition.spec.names.kind), definition.spec.names.kind, function(schema, path)
        assert.is_true(path:find "%.metadata$" ~= nil or #(schema.description or "") > 10, path)
      end)
    end
  end)

  it("limit every text and every list, so that the cost of each rule is known", function()
    for _, definition in ipairs(crds.all()) do
      each_field(schema_of(definition.spec.names.kind), definition.spec.names.kind, function(schema, path)
        local is_open = path:find "%.apiVersion$" or path:find "^%a+%.kind$"
        if schema.type == "string" and not schema.enum and not is_open then
          assert.is_number(schema.maxLength, path)
        elseif schema.type == "array" then
          assert.is_number(schema.maxItems, path)
        end
      end)
    end
  end)

  it("give every rule a message", function()
    for _, definition in ipairs(crds.all()) do
      each_field(schema_of(definition.spec.names.kind), definition.spec.names.kind, function(schema)
        for _, rule in ipairs(schema["x-kubernetes-validations"] or {}) do
          assert.is_true(#rule.message > 10, rule.rule)
        end
      end)
    end
  end)
end)

describe("docs/reference/objects.md", function()
  it("tells of every field, and names no other in its tables", function()
    local file = assert(io.open("docs/reference/objects.md"))
    local page = file:read "*a"
    file:close()
    local fields = {}
    for _, definition in ipairs(crds.all()) do
      for _, part in ipairs { "spec", "status" } do
        each_field(schema_of(definition.spec.names.kind).properties[part], "", function(_, path)
          local name = path:match "([%a]+)[%[%]]*$"
          if name then
            fields[name] = true
            assert.truthy(page:find("`" .. name .. "`", 1, true) or page:find("." .. name .. "`", 1, true), name)
          end
        end)
      end
    end
    for name in page:gmatch "\n| `(%l%a*)`" do
      assert.is_true(fields[name], name)
    end
  end)
end)

describe("deploy/crds.yaml", function()
  it("is what `konductor crds` prints", function()
    local file = assert(io.open("deploy/crds.yaml"))
    local text = file:read "*a"
    file:close()
    assert.equal(crds.HEAD .. yaml.stream(crds.all()), text)
  end)
end)

describe("YAML", function()
  it("puts names before the rest, and the rest in the order of the alphabet", function()
    assert.equal('kind: X\nmetadata:\n  name: x\na: 1\nb: true\n', yaml.encode {
      b = true, a = 1, kind = "X", metadata = { name = "x" },
    })
  end)

  it("quotes what a reader could take for something else", function()
    for _, text in ipairs {
      "", "yes", "No", "null", "~", "1", "1e3", "0x1F", "2026-01-01", "a: b", "a #b", "- a", "*a", "&a", "!a", " a",
      "a ",
      "%a", "@a", "`a", "?", ":", "{a", "[a", "|", ">", "'a'", "a\nb", "\tb", "true", ".inf",
      "é",
    } do
      assert.equal('"', yaml.encode({ k = text }):sub(4, 4), text)
    end
  end)

  it("leaves plain words without quotes", function()
    for _, text in ipairs { "a", "v1", "konductor.io/v1", "What is said, and more.", "a-b_c", "/status" } do
      assert.equal("k: " .. text .. "\n", yaml.encode { k = text })
    end
  end)

  it("escapes control characters, quotes and backslashes", function()
    assert.equal('k: "\\"a\\nb\\\\\\x01\\""\n', yaml.encode { k = '"a\nb\\\1"' })
  end)

  it("folds long texts and those full of quotes", function()
    local text = ("word "):rep(40) .. "end"
    local out = yaml.encode { k = text }
    assert.equal("k: >-\n", out:sub(1, 6))
    assert.equal(text, (out:sub(7):gsub("\n  ", " "):gsub("^  ", ""):gsub("\n$", "")))
    for line in out:gmatch "[^\n]+" do
      assert.is_true(#line <= 110)
    end
    assert.equal('k: >-\n  self == "x"\n', yaml.encode { k = 'self == "x"' })
  end)

  it("writes lists of maps, lists of words, empty maps and empty lists", function()
    local empty_list = setmetatable({}, { __jsontype = "array" })
    assert.equal("k:\n- name: a\n  verbs: [get, 1]\n- name: b\nl: []\nm: {}\n", yaml.encode {
      k = { { name = "a", verbs = { "get", 1 } }, { name = "b" } }, m = {}, l = empty_list,
    })
  end)

  it("writes a list of words on one line unless it is long or a word would end it", function()
    assert.equal('k: [a, "1", "*"]\n', yaml.encode { k = { "a", "1", "*" } })
    assert.equal("k:\n- a, b\n- c\n", yaml.encode { k = { "a, b", "c" } })
    assert.equal("k:\n- - a\n  - " .. ("b"):rep(80) .. "\n", yaml.encode { k = { { "a", ("b"):rep(80) } } })
    assert.equal("k:\n- [a, b]\n", yaml.encode { k = { { "a", "b" } } })
  end)

  it("stands on one line where that is asked for", function()
    assert.equal('{name: x, a: ["a, b", c, "*"], b: {}, c: "{"}', yaml.line {
      a = { "a, b", "c", "*" }, b = {}, c = "{", name = "x",
    })
  end)

  it("refuses what is no data", function()
    assert.has_error(function() yaml.encode { k = print } end, "a function cannot be written as YAML")
  end)
end)
